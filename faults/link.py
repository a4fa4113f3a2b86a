"""One connection through the proxy: two sockets, and a link for each direction.

A link without stages hands data from socket to socket; with stages it is source -> stage -> ... -> stage -> sink.
Chains change under live traffic without losing or reordering a byte. All of it runs on one event loop, so a change of a
chain is atomic for the traffic.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random as random_module
import socket
import struct
import time
from collections.abc import Callable
from typing import Literal, TypeAlias, cast

from faults.address import format_address
from faults.chunk import End
from faults.evidence import Record
from faults.gate import Gate
from faults.side import Side
from faults.stage import Receiver, Stage
from faults.toxics import Toxic

Stream: TypeAlias = Literal["upstream", "downstream"]

RESET_ON_CLOSE = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: close() sends RST."""


class Endpoint(asyncio.Protocol):
    """One socket of a connection: the source of one link and the sink of the other."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.full = False
        self.lost = False
        self.ended = False
        self.outgoing: Link
        self.incoming: Link
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._early_end: End | None = None
        # Until the socket is there data is kept; afterwards this is the transport's own write: the fast path.
        self.put: Callable[[bytes], None] = self._early.append

    # --- called by the event loop -------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: whatever the other side has sent meanwhile goes out first."""
        self._transport = cast("asyncio.Transport", transport)
        if self.connection.over:
            self.abort(reset=True)
            return
        self.connection.endpoint_made(self)
        # No buffer of our own beyond what the system takes: the source is paused as soon as the sink is full.
        self._transport.set_write_buffer_limits(high=0)
        self.put = self._transport.write
        if self._early:
            self.put(b"".join(self._early))
            self._early.clear()
        if self._early_end is not None:
            self.put_end(self._early_end)

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
        self.full = False
        self.incoming.rebalance()

    # --- called by links and the connection ---------------------------------------------------------------------

    def put_end(self, end: End) -> None:
        """Take the end of the incoming stream."""
        if self._transport is None and not self.lost:
            self._early_end = end
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

    def sockname(self) -> tuple[str | int, ...]:
        """Return the address of our side of the socket."""
        assert self._transport is not None  # noqa: S101 - for the type checker
        return cast("tuple[str | int, ...]", self._transport.get_extra_info("sockname"))

    def close(self) -> None:
        """Close behind what has been written."""
        if self._transport is not None:
            self._transport.close()

    def abort(self, *, reset: bool) -> None:
        """Close at once, dropping what has been written; *reset* sends RST instead of FIN."""
        if self._transport is None or self.lost:
            return
        if reset:
            reset_on_close(self._transport.get_extra_info("socket"))
        self._transport.abort()


class Link:
    """One direction: the bytes of *source*, through the stages, to *sink*."""

    def __init__(self, connection: Connection, source: Endpoint, sink: Endpoint) -> None:
        self.connection = connection
        self.connection_id = connection.id
        self.client = connection.client
        self.source = source
        self.sink = sink
        self.bytes = 0
        self.delivered = False
        self.stages: dict[str, tuple[int, Stage]] = {}
        self.first: Side | None = None
        self.last: Side | None = None
        self.head: Receiver = sink
        self._leaving: list[tuple[int, Stage]] = []
        self._paused = False
        source.outgoing = self
        sink.incoming = self

    def add(self, name: str, order: int, toxic: Toxic, record: Record, random: random_module.Random) -> None:
        """Put a toxic into the chain; those of smaller *order* come before it."""
        self.stages[name] = (order, Stage(toxic, self, record, random))
        self._relink()

    def change(self, name: str, toxic: Toxic) -> None:
        """Give a toxic other parameters, where it is at work."""
        if name in self.stages:
            self.stages[name][1].change(toxic)

    def remove(self, name: str) -> None:
        """Let a toxic go: it passes on what it holds, then leaves the chain."""
        if name in self.stages:
            place = self.stages.pop(name)
            self._leaving.append(place)
            place[1].release()

    def left(self, stage: Stage) -> None:
        """Take an empty, released stage out of the chain."""
        self._leaving = [place for place in self._leaving if place[1] is not stage]
        self._relink()

    def reset(self) -> None:
        """Reset both sides."""
        self.connection.reset()

    def rebalance(self) -> None:
        """Pause or resume the source, and wake the stages that wait for room."""
        if self.head.full is not self._paused:
            self._paused = self.head.full
            self.source.flow(paused=self._paused)
        for _, stage in self._places():
            stage.wake()

    def cancel(self) -> None:
        """Stop all stages."""
        for _, stage in self._places():
            stage.cancel()

    def _places(self) -> list[tuple[int, Stage]]:
        return sorted([*self.stages.values(), *self._leaving], key=lambda place: place[0])

    def _relink(self) -> None:
        places: list[Stage | Side | None] = [self.first, *(stage for _, stage in self._places()), self.last]
        chain = [place for place in places if place is not None]
        for place, receiver in itertools.pairwise([*chain, self.sink]):
            cast("Stage | Side", place).next = cast("Receiver", receiver)
        self.head = cast("Receiver", chain[0]) if chain else self.sink
        self.rebalance()

    def gate(self, side: Side, *, first: bool) -> None:
        """Put one side of a gate before or behind all stages, for as long as the connection lives."""
        self.first, self.last = (side, None) if first else (None, side)
        side.rebalance = self.rebalance
        self._relink()


class Connection:
    """A client and its server: created when the server has answered the dial, over when both sockets are gone."""

    def __init__(
        self, number: int, client: str, on_start: Callable[[Connection], None], on_end: Callable[[Connection], None]
    ) -> None:
        self.id = number
        self.client = client
        self.since = time.time()
        self.over = False
        self.client_end = Endpoint(self)
        self.server_end = Endpoint(self)
        self.upstream = Link(self, self.client_end, self.server_end)
        self.downstream = Link(self, self.server_end, self.client_end)
        self.server_side = ""
        self._gate: Gate | None = None
        self._on_start = on_start
        self._on_end = on_end

    def follow(self, gate: Gate) -> None:
        """Have a gate follow the conversation, on the client's side of all toxics."""
        self._gate = gate
        self.upstream.gate(gate.requests, first=True)
        self.downstream.gate(gate.replies, first=False)

    def link(self, stream: Stream) -> Link:
        """Return the link of a direction."""
        return self.upstream if stream == "upstream" else self.downstream

    def close_if_done(self) -> bool:
        """Close both sockets once both directions have delivered their end; tell whether that is so."""
        done = self.upstream.delivered and self.downstream.delivered
        if done:
            self.close()
        return done

    def close(self) -> None:
        """End in an orderly way: what has been written still goes out."""
        self._finish()
        self.client_end.close()
        self.server_end.close()

    def reset(self) -> None:
        """End at once with RST on both sides."""
        self.cut(reset=True)

    def cut(self, *, reset: bool = False) -> None:
        """End at once with FIN (or RST) on both sides, as when the process in between dies; data inside is lost."""
        self._finish()
        self.client_end.abort(reset=reset)
        self.server_end.abort(reset=reset)

    def endpoint_made(self, endpoint: Endpoint) -> None:
        """Tell the owner when the server has answered, before its first byte is read."""
        if endpoint is self.server_end:
            self.server_side = format_address(endpoint.sockname())
            self._on_start(self)

    def endpoint_lost(self) -> None:
        """Tell the owner when the second socket is gone."""
        if self.client_end.lost and self.server_end.lost:
            self._finish()
            self._on_end(self)

    def _finish(self) -> None:
        if not self.over:
            self.over = True
            for link in (self.upstream, self.downstream):
                link.cancel()
            if self._gate is not None:
                self._gate.ended()


def reset_on_close(sock: socket.socket | None) -> None:
    """Make the end of *sock* a RST; one that is gone already (None after a cancelled dial) is left alone."""
    if sock is not None:
        with contextlib.suppress(OSError):  # macOS refuses once the peer has gone
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)


def _ignore(_data: bytes) -> None:
    """Swallow data for a socket that is gone."""
