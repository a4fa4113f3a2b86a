"""A listener with an upstream, the toxics on it, and its live connections."""

from __future__ import annotations

import asyncio
import functools
import itertools
import logging
import random as random_module
import socket
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from faults.address import format_address, parse_address
from faults.endpoint import reset_on_close
from faults.errors import BadRequest, Conflict, ListenFailed, NotFound
from faults.evidence import EvidenceBook, Record
from faults.gate import Gate
from faults.link import Connection, Stream
from faults.rulebook import RuleBook
from faults.toxics import Toxic
from faults.vanishing import Vanishing

logger = logging.getLogger(__name__)

Protocol: TypeAlias = Literal["tcp", "postgresql"]
"""What a proxy follows: bytes, or PostgreSQL's conversation, where rules can strike."""

DIAL_TIMEOUT = 10.0
"""Seconds that an upstream has to accept a connection; its client waits, and no other."""

ACCEPT_PAUSE = 0.05
"""Seconds without accepting after the operating system ran out of something (files, memory)."""

ACCEPT_BATCH = 64
"""Connections accepted in one go; live traffic has its turn in between."""

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class PlacedToxic:
    """A toxic on a proxy: *toxicity* is the probability, from 0 to 1, that it takes hold of a connection."""

    name: str
    toxic: Toxic
    stream: Stream
    toxicity: float
    order: int
    record: Record
    rolls: int = 0


class Proxy:
    """Everything that is known under one name. All methods take effect on live connections before they return."""

    def __init__(
        self, name: str, listen: str, upstream: str, *, seed: int, evidence: EvidenceBook, rules: RuleBook
    ) -> None:
        self.name = name
        self.listen = listen
        self._asked = listen
        self.upstream = upstream
        self.toxics: dict[str, PlacedToxic] = {}
        self.connections: dict[int, Connection] = {}
        self.failed_dials = 0
        self.protocol: Protocol = "tcp"
        self._rules = rules
        self._seed = seed
        self._evidence = evidence
        self._numbers = itertools.count(1)
        self._orders = itertools.count()
        self._listener: socket.socket | None = None
        self._dials: dict[Connection, tuple[socket.socket, asyncio.Task[None]]] = {}
        self._down: Record | None = None
        self._gone: Vanishing | None = None

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    @property
    def vanished(self) -> bool:
        """Whether its host is gone, as its clients see it."""
        return self._gone is not None

    def listens_at(self, address: str | None) -> bool:
        """Whether *address* (None or empty: any) is where it listens, as it was asked for or as it was resolved."""
        return not address or address in (self.listen, self._asked)

    # --- listening ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; `listen` then holds the real address. Raise ListenFailed with the system's reason."""
        if self._listener is not None:
            return
        self._listen_on(_listening_socket(self.listen))

    def stop(self) -> int:
        """Refuse new connections and cut the live ones; return how many were cut."""
        if self._listener is None:
            return 0
        self._stop_listening()
        self._down = self._evidence.open(self.name, "down", "down")
        return self._cut(self._down, reset=False)

    def move(self, listen: str) -> None:
        """Listen elsewhere and cut the live connections; if that fails, raise ListenFailed and change nothing."""
        if self._listener is None:
            self.listen = self._asked = listen
            return
        port = parse_address(listen, "listen")[1]
        if port and port == parse_address(self.listen, "listen")[1]:
            self._move_on_same_port(listen)
        else:
            listener = _listening_socket(listen)
            self.stop()
            self._listen_on(listener)
        self._asked = listen

    def _move_on_same_port(self, listen: str) -> None:
        # The old listener may be what is in the way (127.0.0.1 and 0.0.0.0), so it has to go first.
        self.stop()
        try:
            listener = _listening_socket(listen)
        except ListenFailed:
            self.start()
            raise
        self._listen_on(listener)

    def retarget(self, upstream: str) -> None:
        """Lead new connections to *upstream* and reset those that lead elsewhere."""
        self.upstream = upstream
        self.cut_connections()

    def close(self) -> None:
        """End for good."""
        self.come_back()
        self.stop()
        for toxic in list(self.toxics):
            self.remove_toxic(toxic)
        self._up_again()

    def _listen_on(self, listener: socket.socket) -> None:
        self._listener = listener
        self.listen = format_address(listener.getsockname())
        self._up_again()
        if self._gone is not None:
            self._gone.listener(listener)
        asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    def _stop_listening(self) -> None:
        assert self._listener is not None  # noqa: S101 - for the type checker
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None

    def _up_again(self) -> None:
        if self._down is not None:
            self._evidence.end(self._down)
            self._down = None

    # --- being gone ---------------------------------------------------------------------------------------------

    async def vanish(self) -> None:
        """Acknowledge nothing and say nothing, on live connections and new ones. Raise BadRequest if that cannot be."""
        if self._gone is not None:
            return
        gone = Vanishing(self._evidence.open(self.name, "vanished", "vanished"))
        self._gone = gone
        try:
            if self._listener is not None:
                gone.listener(self._listener)
            for connection, (client, _) in self._dials.items():
                gone.dialling(connection, client)
            settled = [one for one in self.connections.values() if not one.over and one not in self._dials]
            await gone.established(settled)
        except BaseException:
            self.come_back()
            raise

    def come_back(self) -> None:
        """Be there again: what was held is sent, what has ended meanwhile ends."""
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.end([*self.connections.values(), *self._dials])
            self._evidence.end(gone.record)

    def cut_connections(self, *, reset: bool = True) -> int:
        """End every live connection (RST or FIN on both sides) and go on listening; return how many there were."""
        record = self._evidence.open(self.name, "cut", "cut")
        count = self._cut(record, reset=reset)
        self._evidence.end(record)
        return count

    def _cut(self, record: Record, *, reset: bool) -> int:
        for connection, (client, dial) in self._dials.items():
            if connection.id not in self.connections:  # to its client it is as alive as any
                record.note(connection.id, connection.client)
            if reset:
                reset_on_close(client)
            if self._gone is None or connection.id not in self.connections:  # a join that is cancelled ends its client
                dial.cancel()
        for connection in list(self.connections.values()):
            if not connection.over:
                record.note(connection.id, connection.client)
            # One that is over may still be writing to a peer that does not read: it ends too.
            if reset:
                connection.reset()
            else:
                connection.cut()
        return record.connections

    # --- toxics -------------------------------------------------------------------------------------------------

    def add_toxic(self, name: str, toxic: Toxic, stream: Stream, toxicity: float) -> PlacedToxic:
        """Put a toxic behind those of its stream. Raise Conflict if the name is taken."""
        if name in self.toxics:
            raise Conflict(f"toxic already exists: '{name}' on proxy '{self.name}'")
        record = self._evidence.open(self.name, name, toxic.kind, stream)
        placed = PlacedToxic(name, toxic, stream, toxicity, next(self._orders), record)
        self.toxics[name] = placed
        for connection in self.connections.values():
            self._apply(placed, connection)
        return placed

    def update_toxic(self, name: str, toxic: Toxic, toxicity: float) -> PlacedToxic:
        """Change a toxic in place; connections are drawn again only if the toxicity has changed."""
        old = self.toxic(name)
        placed = replace(old, toxic=toxic, toxicity=toxicity)
        if toxicity != old.toxicity:
            placed = replace(placed, rolls=old.rolls + 1)
        self.toxics[name] = placed
        for connection in self.connections.values():
            if placed.rolls != old.rolls:
                self._apply(placed, connection)
            connection.link(placed.stream).change(name, toxic)
        return placed

    def remove_toxic(self, name: str) -> None:
        """Take a toxic away; what it holds is passed on, connections that lost bytes to it are closed."""
        placed = self.toxic(name)
        del self.toxics[name]
        for connection in self.connections.values():
            connection.link(placed.stream).remove(name)
        self._evidence.end(placed.record)

    def toxic(self, name: str) -> PlacedToxic:
        """Return the toxic of that name or raise NotFound."""
        if name not in self.toxics:
            raise NotFound(f"toxic not found: '{name}' on proxy '{self.name}'")
        return self.toxics[name]

    def _apply(self, placed: PlacedToxic, connection: Connection) -> None:
        # A generator of its own for each connection: what it draws does not depend on how others interleave.
        random = random_module.Random(f"{self._seed}/{self.name}/{connection.id}/{placed.name}/{placed.rolls}")
        link = connection.link(placed.stream)
        wanted = random.random() < placed.toxicity
        if wanted and placed.name not in link.stages and not connection.over:
            link.add(placed.name, placed.order, placed.toxic, placed.record, random)
        elif not wanted:
            link.remove(placed.name)

    # --- connections --------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        # A client that comes alone is served at once, not after asking in vain for another; the loop calls again.
        for _ in range(ACCEPT_BATCH if self._dials else 1):
            try:
                client, address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                logger.warning("proxy %s cannot accept: %s", self.name, error)
                asyncio.get_running_loop().remove_reader(listener)
                asyncio.get_running_loop().call_later(ACCEPT_PAUSE, self._accept_again, listener)
                return
            client.setblocking(False)
            connection = Connection(next(self._numbers), format_address(address), self._began, self._ended)
            dial = asyncio.get_running_loop().create_task(self._connect(connection, client))
            self._dials[connection] = client, dial
            if self._gone is not None:  # it was in the queue
                self._gone.dialling(connection, client)
            dial.add_done_callback(functools.partial(self._dialled, connection, client))

    def _accept_again(self, listener: socket.socket) -> None:
        if listener is self._listener:
            asyncio.get_running_loop().add_reader(listener, self._accept, listener)

    async def _connect(self, connection: Connection, client: socket.socket) -> None:
        try:
            await self._dial(connection)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection.client_end, client)
        except (OSError, TimeoutError) as error:
            logger.warning("proxy %s: no connection to %s: %s", self.name, self.upstream, str(error) or "timed out")
            self.failed_dials += 1
            reset_on_close(client)
            self._give_up(connection, client)

    def _dialled(self, connection: Connection, client: socket.socket, dial: asyncio.Task[None]) -> None:
        del self._dials[connection]
        if dial.cancelled():  # perhaps before it began
            self._give_up(connection, client)

    async def _dial(self, connection: Connection) -> None:
        host, port = parse_address(self.upstream, "upstream")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DIAL_TIMEOUT):
            await loop.create_connection(lambda: connection.server_end, host, port)

    def _began(self, connection: Connection) -> None:
        self.connections[connection.id] = connection
        if self.protocol == "postgresql":
            connection.follow(Gate(connection, self.name, self._rules))
        for placed in self.toxics.values():
            self._apply(placed, connection)

    def _give_up(self, connection: Connection, client: socket.socket) -> None:
        connection.cut()
        self.connections.pop(connection.id, None)
        if self._gone is not None:
            self._gone.keep(client)
        else:
            client.close()

    def _ended(self, connection: Connection) -> None:
        self.connections.pop(connection.id, None)


def _listening_socket(address: str) -> socket.socket:
    host, port = parse_address(address, "listen")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenFailed(f"listen tcp {address}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def check_toxicity(value: object) -> float:
    """Return a toxicity, or raise BadRequest for anything but a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRequest(f"toxicity must be a number from 0 to 1, not {value!r:.60}")
    return float(value)
