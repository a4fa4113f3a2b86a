"""One direction of a followed conversation: open, shut, or a black hole."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from faults.chunk import End
from faults.pgwire.framing import Piece
from faults.stage import Receiver

MOST_WAITING: Final = 128 * 1024
"""Bytes that wait at a shut side before their source is paused."""


class Side:
    """Cuts bytes into pieces with *follow* and hands them to *act*, which sends on what may pass.

    *passes* is asked before, and says whether bytes go on as they are. *ending* is asked about the end of the stream,
    and says whether it has dealt with it.
    """

    def __init__(
        self,
        passes: Callable[[bytes], bool],
        follow: Callable[[bytes], list[Piece]],
        act: Callable[[list[Piece]], None],
        ending: Callable[[End], bool],
    ) -> None:
        self.next: Receiver
        self.rebalance: Callable[[], None]
        self.transparent = False
        self.shut_now = False
        self.lost = False
        self._passes = passes
        self._follow = follow
        self._act = act
        self._ending = ending
        self._waiting: deque[list[Piece] | bytes] = deque()
        self._size = 0
        self._end: End | None = None

    @property
    def full(self) -> bool:
        """Whether the source has to wait."""
        if self.lost:
            return False
        return self._size >= MOST_WAITING if self.shut_now else self.next.full

    def put(self, data: bytes) -> None:
        """Take bytes from the source."""
        if self.lost:
            return
        if self.shut_now:
            self._waiting.append(data)
            self._size += len(data)
        elif self.transparent or self._passes(data):
            self.next.put(data)
        else:
            self._act(self._follow(data))

    def put_end(self, end: End) -> None:
        """Take the end of the stream."""
        if self._ending(end):
            return
        if self.shut_now:
            self._end = end
        else:
            self.next.put_end(end)

    def send(self, *parts: bytes) -> None:
        """Pass bytes on."""
        if len(parts) == 1:
            self.next.put(parts[0])
        elif parts:
            self.next.put(b"".join(parts))

    def shut(self, rest: list[Piece]) -> None:
        """Let nothing pass, beginning with *rest*, until `open`."""
        self.shut_now = True
        if rest:
            self._waiting.appendleft(rest)
            self._size += sum(len(piece.raw) for piece in rest)

    def open(self) -> None:
        """Let pass what has been waiting, unless something in it shuts the side again."""
        self.shut_now = False
        while self._waiting and not self.shut_now and not self.lost:
            waiting = self._waiting.popleft()
            if isinstance(waiting, bytes):
                self._size -= len(waiting)
                self.put(waiting)
            else:
                self._size -= sum(len(piece.raw) for piece in waiting)
                self._act(waiting)
        if self._end is not None and not self.shut_now:
            end, self._end = self._end, None
            self.next.put_end(end)
        self.rebalance()

    def swallow(self) -> None:
        """Let everything vanish from now on, but for an end."""
        self.lost = True
        self.shut_now = False
        self._waiting.clear()
        self._size = 0
