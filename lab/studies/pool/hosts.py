"""Several nodes: in one DSN, with each driver, and in turn, as the lab's engine takes them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from faults.toxics import Timeout
from lab.clusters.base import Cluster
from lab.db.engine import resilient_engine
from lab.db.target import Address
from lab.studies.pool.cells import Client
from lab.studies.pool.engines import WAITS, plain_arguments
from lab.studies.pool.facts import told
from lab.studies.pool.habits import Look, Place
from lab.studies.pool.strike import open_proxy

COUNT: Final = 6
"""Connections that are opened."""

PER_HOST: Final = 2
"""Seconds to connect: libpq's least. psycopg has them for each host, asyncpg for all together."""

Make = Callable[[Place, Sequence[Address]], AsyncEngine]


class Nodes:
    """Three proxies before the database, and how many of an application's connections run through each."""

    def __init__(self, cluster: Cluster, names: Sequence[str], addresses: Sequence[Address]) -> None:
        self._cluster = cluster
        self.names = names
        self.addresses = addresses

    async def lose(self) -> None:
        """Cut the first node off; it refuses connections."""
        await self._cluster.control.disable(self.names[0])

    async def swallow(self) -> None:
        """Make the first node a black hole."""
        await self._cluster.control.add(self.names[0], Timeout(0), name="hole")

    async def give_back(self) -> None:
        """Let the first node listen again."""
        await self._cluster.control.enable(self.names[0])

    async def spread(self, engine: AsyncEngine) -> str:
        """Hold as many connections as there are to have, each once; return how many run through each node."""
        held, errors = [], []
        for _ in range(COUNT):
            try:
                connection = await engine.connect()
                held.append(connection)
                await connection.run_sync(_use)
            except Exception as error:
                errors.append(told(error))
        counts = [len(await self._cluster.control.connections(name)) for name in self.names]
        for connection in held:
            await connection.close()
        failed = f" after {len(errors)} x {errors[0]}" if errors else ""
        return f"{counts}{failed}"


@contextlib.asynccontextmanager
async def nodes(place: Place) -> AsyncIterator[Nodes]:
    """Yield three proxies of this habit's own."""
    cluster = place.cluster
    names = [f"{place.name}-n{number}" for number in (1, 2, 3)]
    opened: list[Address] = []
    try:
        for number, name in enumerate(names):
            opened.append(await open_proxy(cluster, name, number))
        yield Nodes(cluster, names, opened)
    finally:
        for name in names[: len(opened)]:
            await cluster.control.delete(name)


def _use(connection: Connection) -> None:
    connection.exec_driver_sql("SELECT 1")
    connection.rollback()


def _dsn(place: Place, addresses: Sequence[Address]) -> AsyncEngine:
    target, client = place.cluster.target, place.client
    hosts = "&".join(f"host={address.host}:{address.port}" for address in addresses)
    url = f"{target.dialect}+{client.driver}://{target.user}:{target.password}@/{target.database}?{hosts}"
    within = {"timeout": PER_HOST} if client is Client.ASYNCPG else {"connect_timeout": PER_HOST}
    arguments = plain_arguments(target, client, place.name) | within
    return create_async_engine(url, connect_args=arguments, pool_size=COUNT, max_overflow=0, pool_pre_ping=True)


def _in_turn(place: Place, addresses: Sequence[Address]) -> AsyncEngine:
    known = place.cluster.target
    target = replace(known, addresses=tuple(addresses))
    return resilient_engine(
        target,
        driver=place.client.driver,
        application_name=place.name,
        pool_size=COUNT,
        connect_timeout=WAITS.connect_timeout,
        command_timeout=WAITS.command_timeout,
    )


def _first_host(strike: Callable[[Nodes], Awaitable[None]], make: Make) -> Look:
    async def look(place: Place) -> str:
        async with nodes(place) as three:
            await strike(three)
            engine = make(place, three.addresses)
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(_use)
                return "goes on to the next"
            except Exception as error:
                return told(error)
            finally:
                await engine.dispose()

    return look


def _spread(make: Make) -> Look:
    async def look(place: Place) -> str:
        async with nodes(place) as three:
            engine = make(place, three.addresses)
            try:
                first = await three.spread(engine)
                await three.lose()
                without = await three.spread(engine)
                await three.give_back()
                return f"{first} connections; n1 lost: {without}; n1 back: {await three.spread(engine)}"
            finally:
                await engine.dispose()

    return look


HOSTS: Final[dict[str, Look]] = {
    "first host refuses, one DSN": _first_host(Nodes.lose, _dsn),
    "first host a black hole, one DSN": _first_host(Nodes.swallow, _dsn),
    "spread, one DSN": _spread(_dsn),
    "spread, resilient": _spread(_in_turn),
}
"""Name -> what looks at it with one client, and returns what it saw in a sentence."""
