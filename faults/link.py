"""One connection through the proxy: two sockets, and a link for each direction.

A link without stages hands data from socket to socket; with stages it is source -> stage -> ... -> stage -> sink.
Chains change under live traffic without losing or reordering a byte. All of it runs on one event loop, so a change of a
chain is atomic for the traffic.
"""

from __future__ import annotations

import itertools
import random as random_module
import time
from collections.abc import Callable
from typing import Literal, TypeAlias, cast

from faults.address import format_address
from faults.endpoint import Endpoint
from faults.evidence import Record
from faults.gate import Gate
from faults.side import Side
from faults.stage import Receiver, Stage
from faults.toxics import Toxic

Stream: TypeAlias = Literal["upstream", "downstream"]


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
