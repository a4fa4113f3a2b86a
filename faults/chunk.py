"""What flows along a stream: chunks of data with the time of their arrival, then one end."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Chunk(NamedTuple):
    """Bytes that arrived at a stage together; *arrived* is in seconds on the event loop's clock."""

    data: bytes
    arrived: float

    @property
    def size(self) -> int:
        """The number of bytes."""
        return len(self.data)

    def cut(self, start: int, stop: int) -> Chunk:
        """Return the bytes from *start* up to *stop* as a chunk that arrived at the same time."""
        return Chunk(self.data[start:stop], self.arrived)


class End(enum.Enum):
    """How a stream ends; it travels behind the data, so nothing overtakes it."""

    EOF = "eof"
    """The source will send no more; the other direction goes on (half-close)."""

    CLOSE = "close"
    """Both directions end in an orderly way (FIN)."""

    RESET = "reset"
    """Both directions end at once (RST)."""
