"""Cutting a stream of bytes into messages, however it was split, with bounded memory.

Only the kinds of messages that somebody wants are given whole; everything else passes as it comes. Of a wanted message
that is longer than HEAD bytes only the beginning is kept, which holds all names and the first part of the SQL.
"""

from __future__ import annotations

import struct
from collections.abc import Set
from typing import Final, NamedTuple

from faults.pgwire.errors import NotPostgres, ProtocolViolation

HEAD: Final = 16 * 1024
"""Bytes of a message that are looked at."""

LONGEST: Final = 0x4000_0000
"""Bytes of the longest message that PostgreSQL itself accepts (1 GiB)."""

STARTUP: Final = 0
"""Kind of the messages that begin a connection: they have no type byte."""

BYTES: Final = -1
"""Kind of a piece that is no message, but bytes that nobody asked to see."""

CANCEL_REQUEST: Final = 80877102
SSL_REQUEST: Final = 80877103
GSSENC_REQUEST: Final = 80877104
LONGEST_STARTUP: Final = 10_000

_LENGTH = struct.Struct("!I")
_STARTUP_HEAD = struct.Struct("!II")


class Piece(NamedTuple):
    """A message of *kind* with its *body* (or the beginning of it), or other bytes; *raw* is what travels on."""

    kind: int
    body: bytes
    raw: bytes


class Framer:
    """One direction of a conversation. *wanted* are the type bytes of the messages to give whole."""

    def __init__(self, wanted: Set[int], *, startup: bool = False) -> None:
        self._wanted = wanted
        self._startup = startup
        self._partial = b""
        self._skip = 0

    @property
    def kept(self) -> bytes:
        """What was fed and has not come out yet."""
        return self._partial

    def feed(self, data: bytes) -> list[Piece]:
        """Return the pieces that *data* completes; joined, their raw bytes are the stream, less what is still kept.

        Raises NotPostgres for a beginning that is none of PostgreSQL's, ProtocolViolation for an impossible length.
        """
        if self._partial:
            data = self._partial + data
        pieces: list[Piece] = []
        position = run = 0
        size = len(data)
        while position < size:
            if self._skip:
                step = min(self._skip, size - position)
                self._skip -= step
                position += step
                continue
            whole, end = self._measure(data, position, size)
            if end == 0:
                break
            if not whole:
                self._skip = max(0, end - size)
                position = min(end, size)
                continue
            if end > size and size - position < HEAD:
                break
            if run < position:
                pieces.append(Piece(BYTES, b"", data[run:position]))
            stop = min(end, size)
            pieces.append(self._message(data, position, stop))
            self._skip = end - stop
            position = run = stop
        if run < position:
            pieces.append(Piece(BYTES, b"", data[run:position]))
        self._partial = data[position:]
        return pieces

    def _measure(self, data: bytes, position: int, size: int) -> tuple[bool, int]:
        """Return whether the message at *position* is wanted, and where it ends; 0 if its head is not complete."""
        if self._startup:
            return True, self._measure_startup(data, position, size)
        if size - position < 5:
            return False, 0
        (length,) = _LENGTH.unpack_from(data, position + 1)
        kind = data[position]
        if not 4 <= length <= LONGEST:
            raise ProtocolViolation(f"a message of kind {chr(kind)!r} claims a length of {length} bytes")
        return kind in self._wanted, position + 1 + length

    def _measure_startup(self, data: bytes, position: int, size: int) -> int:
        if size - position < 8:
            head = data[position : position + 3]
            if head != b"\x00\x00\x00"[: len(head)]:
                raise NotPostgres("the connection does not begin like PostgreSQL's")
            return 0
        length, code = _STARTUP_HEAD.unpack_from(data, position)
        known = code in (CANCEL_REQUEST, SSL_REQUEST, GSSENC_REQUEST) or code >> 16 == 3
        if not known or not 8 <= length <= LONGEST_STARTUP:
            raise NotPostgres("the connection does not begin like PostgreSQL's")
        return position + int(length)

    def _message(self, data: bytes, start: int, stop: int) -> Piece:
        if not self._startup:
            return Piece(data[start], data[start + 5 : stop], data[start:stop])
        (code,) = _LENGTH.unpack_from(data, start + 4)
        # After a request for encryption another beginning follows; after a real one the typed messages do.
        self._startup = code in (SSL_REQUEST, GSSENC_REQUEST)
        return Piece(STARTUP, data[start + 4 : stop], data[start:stop])
