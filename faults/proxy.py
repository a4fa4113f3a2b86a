"""A listener with an upstream, the toxics on it, and its live connections."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random as random_module
import socket
from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

from faults.address import format_address, parse_address
from faults.errors import BadRequest, Conflict, ListenFailed, NotFound
from faults.evidence import EvidenceBook, Record
from faults.link import RESET_ON_CLOSE, Connection, Stream
from faults.toxics import Toxic

logger = logging.getLogger(__name__)

DIAL_TIMEOUT = 10.0
"""Seconds that an upstream has to accept a connection; its client waits, and no other."""

ACCEPT_PAUSE = 0.05
"""Seconds without accepting after the operating system ran out of something (files, memory)."""

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

    def __init__(self, name: str, listen: str, upstream: str, *, seed: int, evidence: EvidenceBook) -> None:
        self.name = name
        self.listen = listen
        self._asked = listen
        self.upstream = upstream
        self.toxics: dict[str, PlacedToxic] = {}
        self.connections: dict[int, Connection] = {}
        self.failed_dials = 0
        self._seed = seed
        self._evidence = evidence
        self._numbers = itertools.count(1)
        self._orders = itertools.count()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._down: Record | None = None

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    def listens_at(self, address: str | None) -> bool:
        """Whether *address* (None or empty: any) is where it listens, as it was asked for or as it was resolved."""
        return not address or address in (self.listen, self._asked)

    # --- listening ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen; `listen` then holds the real address. Raise ListenFailed with the system's reason."""
        if self._listener is not None:
            return
        self._asked = self.listen
        self._listener = _listening_socket(self.listen)
        self.listen = format_address(self._listener.getsockname())
        if self._down is not None:
            self._evidence.end(self._down)
            self._down = None
        self._spawn(self._accept(self._listener))

    def stop(self) -> int:
        """Refuse new connections and cut the live ones; return how many were cut."""
        if self._listener is None:
            return 0
        for task in self._tasks:
            task.cancel()
        self._listener.close()
        self._listener = None
        self._down = self._evidence.open(self.name, "down", "down")
        return self._cut(self._down, reset=False)

    def close(self) -> None:
        """End for good."""
        self.stop()
        for toxic in list(self.toxics):
            self.remove_toxic(toxic)
        if self._down is not None:
            self._evidence.end(self._down)
            self._down = None

    def reset_connections(self) -> int:
        """Reset every live connection (RST on both sides) and go on listening; return how many there were."""
        record = self._evidence.open(self.name, "cut", "cut")
        count = self._cut(record, reset=True)
        self._evidence.end(record)
        return count

    def _cut(self, record: Record, *, reset: bool) -> int:
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

    async def _accept(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listener)
            except OSError as error:
                logger.warning("proxy %s cannot accept: %s", self.name, error)
                await asyncio.sleep(ACCEPT_PAUSE)
                continue
            self._spawn(self._connect(client, address))

    async def _connect(self, client: socket.socket, address: tuple[str | int, ...]) -> None:
        connection = Connection(next(self._numbers), format_address(address), self._ended)
        try:
            await self._dial(connection)
            await asyncio.get_running_loop().connect_accepted_socket(lambda: connection.client_end, client)
        except (OSError, TimeoutError) as error:
            logger.warning("proxy %s: no connection to %s: %s", self.name, self.upstream, str(error) or "timed out")
            self.failed_dials += 1
            self._give_up(connection, client)
        except asyncio.CancelledError:
            self._give_up(connection, client)
            raise

    async def _dial(self, connection: Connection) -> None:
        host, port = parse_address(self.upstream, "upstream")
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(DIAL_TIMEOUT):
            transport, _ = await loop.create_connection(lambda: connection.server_end, host, port)
        connection.server_side = format_address(transport.get_extra_info("sockname"))
        self.connections[connection.id] = connection
        for placed in self.toxics.values():
            self._apply(placed, connection)

    def _give_up(self, connection: Connection, client: socket.socket) -> None:
        connection.reset()
        self.connections.pop(connection.id, None)
        _reset(client)

    def _ended(self, connection: Connection) -> None:
        self.connections.pop(connection.id, None)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _listening_socket(address: str) -> socket.socket:
    host, port = parse_address(address, "listen")
    try:
        family, _, _, _, sockaddr = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(sockaddr[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise ListenFailed(f"listen tcp {address}: {error.strerror or error}") from error
    listener.setblocking(False)
    return listener


def _reset(client: socket.socket) -> None:
    try:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    except OSError:
        return  # it is gone already
    finally:
        client.close()


def check_toxicity(value: object) -> float:
    """Return a toxicity, or raise BadRequest for anything but a number from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise BadRequest(f"toxicity must be a number from 0 to 1, not {value!r}")
    return float(value)
