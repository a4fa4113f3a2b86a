"""One socket of a connection: where its bytes come in and go out, and how it ends.

A frozen endpoint keeps what it is to send, and its own end, to itself until it is thawed.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from faults import silence
from faults.chunk import End

if TYPE_CHECKING:
    from faults.link import Connection, Link

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close() sends RST."""


class Endpoint(asyncio.Protocol):
    """One socket of a connection: the source of one link and the sink of the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.full = False
        self.lost = False
        self.ended = False
        self.frozen = False
        self.outgoing: Link
        self.incoming: Link
        self._transport: asyncio.Transport | None = None
        self._held: list[bytes] = []
        self._held_end: End | None = None
        self._own_end: Callable[[], None] | None = None
        # Until the socket is there data is kept; afterwards this is the transport's own write: the fast path.
        self.put: Callable[[bytes], None] = self._held.append

    # --- called by the event loop -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: whatever the other side has sent meanwhile goes out first."""
        self._transport = cast("asyncio.Transport", transport)
        if self.connection.over:
            end = self._own_end or functools.partial(self.abort, reset=True)
            end()
            return
        self.connection.endpoint_made(self)
        # No buffer of our own beyond what the system takes: the source is paused as soon as the sink is full.
        self._transport.set_write_buffer_limits(high=0)
        if not self.frozen:
            self._let_go()

    def _let_go(self) -> None:
        assert self._transport is not None  # noqa: S101 - for the type checker
        self.put = self._transport.write
        if self._held:
            self.put(b"".join(self._held))
            self._held.clear()
        if self._held_end is not None:
            end, self._held_end = self._held_end, None
            self.put_end(end)

    def data_received(self, data: bytes) -> None:
        """Hand data to whatever is first on its way."""
        link = self.outgoing
        link.bytes += len(data)
        head = link.head
        head.put(data)
        if head.full:
            link.rebalance()

    def eof_received(self) -> bool:
        """Carry a half-close as a half-close."""
        self.ended = True
        self.outgoing.head.put_end(End.EOF)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        """Carry a reset as a reset; an orderly end was asked for by us."""
        self.lost = True
        self.full = False
        self.put = _ignore
        if exc is not None and not self.connection.over:
            self.outgoing.head.put_end(End.RESET)
        self.incoming.rebalance()
        self.connection.endpoint_lost()

    def pause_writing(self) -> None:
        """Note that the peer reads slower than we write."""
        self.full = True
        self.incoming.rebalance()

    def resume_writing(self) -> None:
        """Go on writing."""
        self.full = self.frozen
        self.incoming.rebalance()

    # --- called by links and the connection ---------------------------------------------------------------------

    def put_end(self, end: End) -> None:
        """Take the end of the incoming stream."""
        if (self._transport is None or self.frozen) and not self.lost:
            self._held_end = end
        elif end is End.EOF:
            self.incoming.delivered = True
            done = self.connection.close_if_done()
            if not (done or self.lost or self._transport is None or self._transport.is_closing()):
                self._transport.write_eof()
        elif end is End.CLOSE:
            self.connection.close()
        else:
            self.connection.reset()

    def flow(self, *, paused: bool) -> None:
        """Stop or go on reading."""
        transport = self._transport
        if transport is None or self.lost or self.ended or transport.is_closing():
            return
        if paused:
            transport.pause_reading()
        else:
            transport.resume_reading()

    def freeze(self) -> silence.Settable | None:
        """Send nothing and do not end until `thaw`; return the socket, None if there is none (yet, or any more)."""
        if self.lost:
            return None
        self.frozen = self.full = True
        self.put = self._held.append
        self.incoming.rebalance()
        return None if self._transport is None else cast("silence.Settable", self._transport.get_extra_info("socket"))

    def thaw(self) -> None:
        """Send what was held, and end if that was asked for meanwhile."""
        if not self.frozen:
            return
        self.frozen = False
        if self.lost:
            return
        self.full = self._transport is not None and self._transport.get_write_buffer_size() > 0
        if self._transport is not None:
            self._let_go()
        if self._own_end is not None:
            self._own_end()
        self.incoming.rebalance()

    def sockname(self) -> tuple[str | int, ...]:
        """Return the address of our side of the socket."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        return cast("tuple[str | int, ...]", self._transport.get_extra_info("sockname"))

    def close(self) -> None:
        """Close behind what has been written."""
        if self.frozen:
            self._own_end = self._own_end or self.close
        elif self._transport is not None:
            self._transport.close()

    def abort(self, *, reset: bool) -> None:
        """Close at once, dropping what has been written; *reset* sends RST instead of FIN."""
        if self.lost:
            return
        if self.frozen or self._transport is None:
            self._held.clear()
            self._own_end = functools.partial(self.abort, reset=reset)
            return
        if reset:
            reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()


def reset_on_close(sock: socket.socket | None) -> None:
    """Make the end of *sock* a RST; one that is gone already (None after a cancelled dial) is left alone."""
    if sock is not None:
        with contextlib.suppress(OSError):  # macOS refuses once the peer has gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def _ignore(_data: bytes) -> None:
    """Swallow data for a socket that is gone."""
