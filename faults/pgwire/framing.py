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
_length_at: Final = _LENGTH.unpack_from
_STARTUP_HEAD = struct.Struct("!II")


class Piece(NamedTuple):
    """A message of *kind* with its *body* (or the beginning of it), or other bytes; *raw* is what travels on."""

    kind: int
    body: bytes
    raw: bytes


_piece: Final = tuple.__new__  # a named tuple's own takes twice as long


class Framer:
    """One direction of a conversation. *wanted* are the type bytes of the messages to give whole."""

    def __init__(self, wanted: Set[int], *, startup: bool = False) -> None:
        self._wanted = wanted
        self._startup = startup
        self._partial = b""
        self._skip = 0

    @property
    def between_messages(self) -> bool:
        """Whether the next byte begins a message with a type."""
        return not (self._partial or self._skip or self._startup)

    def take(self) -> bytes:
        """Give up and return what was fed and has not come out yet."""
        kept, self._partial = self._partial, b""
        return kept

    def feed(self, data: bytes) -> list[Piece]:
        """Return the pieces that *data* completes; joined, their raw bytes are the stream, less what is still kept.

        Raises NotPostgres for a beginning that is none of PostgreSQL's, ProtocolViolation for an impossible length.
        """
        if self._partial:
            data = self._partial + data
        return self._beginning(data) if self._startup else self._typed(data)

    def _beginning(self, data: bytes) -> list[Piece]:
        pieces: list[Piece] = []
        position = 0
        while self._startup and position < len(data):
            end = self._measure_startup(data, position, len(data))
            if end == 0 or end > len(data):
                self._partial = data[position:]
                return pieces
            # After a request for encryption another beginning follows; after a real one the typed messages do.
            (code,) = _length_at(data, position + 4)
            self._startup = code in (SSL_REQUEST, GSSENC_REQUEST)
            pieces.append(Piece(STARTUP, data[position + 4 : end], data[position:end]))
            position = end
        return pieces + self._typed(data[position:])

    def _typed(self, data: bytes) -> list[Piece]:
        # One loop without calls: this is what every message of every conversation costs.
        pieces: list[Piece] = []
        size, wanted, run, position = len(data), self._wanted, 0, self._skip
        while size - position >= 5:
            (length,) = _length_at(data, position + 1)
            if not 4 <= length <= LONGEST:
                raise ProtocolViolation(f"a message of kind {chr(data[position])!r} claims a length of {length} bytes")
            end, kind = position + 1 + length, data[position]
            if kind in wanted:
                if end <= size and length < HEAD:  # nearly always
                    if run < position:
                        pieces.append(_piece(Piece, (BYTES, b"", data[run:position])))
                    pieces.append(_piece(Piece, (kind, data[position + 5 : end], data[position:end])))
                    run = position = end
                    continue
                if end > size and size - position < HEAD:
                    break
                if run < position:
                    pieces.append(_piece(Piece, (BYTES, b"", data[run:position])))
                run = min(end, size)
                # Never more than HEAD, however much has come: a message looks the same however it was split.
                body = data[position + 5 : run if length < HEAD else min(run, position + HEAD)]
                pieces.append(Piece(kind, body, data[position:run]))
            position = end
        kept = min(position, size)
        if run < kept:
            pieces.append(Piece(BYTES, b"", data[run:kept]))
        self._skip = position - kept
        self._partial = data[kept:]
        return pieces

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
