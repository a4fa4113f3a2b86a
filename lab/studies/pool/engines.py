"""The engines of the matrix: SQLAlchemy's defaults without and with pre-ping, and the resilient ones."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, replace
from typing import Any, Final, cast

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import await_only

from lab.db.engine import resilient_engine, resilient_sync_engine
from lab.db.target import Address, Target
from lab.db.waits import Waits
from lab.errors import Unhealthy
from lab.studies.pool.cells import Client, Setting
from lab.studies.pool.facts import PoolState

SIZE: Final = 3
"""Connections in the pool of a cell: enough to see whether the death of one is news for the others."""

WAITS: Final = Waits(pool_timeout=1.0, ping_timeout=1.0, connect_timeout=1.0, command_timeout=1.5, close_timeout=0.2)
"""The time-outs of the resilient engines here: short, so that a black hole costs little."""

NEWS: Final = 5.0
"""Seconds within which the end of a connection has to reach a client that is not asking."""

POLL: Final = 0.005
"""Seconds between two looks."""

Work = Callable[[Connection], None]
Strike = Callable[[], Awaitable[None]]


class Pooled:
    """An engine of one of the three kinds behind one face, and a count of the connections that it has opened."""

    def __init__(self, target: Target, client: Client, setting: Setting, name: str) -> None:
        self._engine = _engine(target, client, setting, name)
        self._loop = asyncio.get_running_loop()
        self.opened: list[Any] = []
        self.sync: Engine = self._engine.sync_engine if isinstance(self._engine, AsyncEngine) else self._engine
        event.listen(self.sync, "connect", self._count)

    def _count(self, dbapi_connection: Any, _record: object) -> None:
        self.opened.append(getattr(dbapi_connection, "driver_connection", dbapi_connection))

    @property
    def pool(self) -> QueuePool:
        """The pool itself."""
        return cast("QueuePool", self.sync.pool)

    def state(self) -> PoolState:
        """Return what the pool says of itself."""
        pool = self.pool
        return PoolState(pool.checkedout(), pool.checkedout() + pool.checkedin(), max(0, pool.overflow()))

    async def use(self, work: Work) -> None:
        """Do *work* on a connection of the pool."""
        if isinstance(self._engine, AsyncEngine):
            async with self._engine.connect() as connection:
                await connection.run_sync(work)
        else:
            await asyncio.to_thread(self._use, work)

    def _use(self, work: Work) -> None:
        with self.sync.connect() as connection:
            work(connection)

    def here(self, strike: Strike) -> None:
        """Await *strike* from within *work*."""
        if isinstance(self._engine, AsyncEngine):
            await_only(strike())
        else:
            asyncio.run_coroutine_threadsafe(_of(strike), self._loop).result(NEWS * 10)

    async def fill(self) -> None:
        """Open as many connections as the pool holds."""
        if isinstance(self._engine, AsyncEngine):
            held = [await self._engine.connect() for _ in range(SIZE)]
            for connection in held:
                await connection.close()
        else:
            await asyncio.to_thread(self._fill)

    def _fill(self) -> None:
        held = [self.sync.connect() for _ in range(SIZE)]
        for connection in held:
            connection.close()

    async def dispose(self) -> None:
        """Close what is open."""
        if isinstance(self._engine, AsyncEngine):
            await self._engine.dispose()
        else:
            await asyncio.to_thread(self.sync.dispose)


async def heard(connections: Iterable[Any]) -> None:
    """Return once the end of every driver's connection has reached this side; Unhealthy if that does not come."""
    try:
        async with asyncio.timeout(NEWS):
            while not all(map(_has_news, connections)):  # noqa: ASYNC110 - the drivers tell nobody
                await asyncio.sleep(POLL)
    except TimeoutError as error:
        raise Unhealthy(f"connections that were ended look alive after {NEWS:g} s") from error


def waits_of(client: Client, setting: Setting) -> Waits | None:
    """Return the bounds that an engine states; None for SQLAlchemy's defaults, which state none."""
    if setting is not Setting.RESILIENT:
        return None
    return WAITS.synchronous() if client is Client.PSYCOPG_SYNC else WAITS


def at(target: Target, address: Address) -> Target:
    """Return *target* at one address."""
    return replace(target, addresses=(address,))


def plain_url(target: Target, client: Client) -> URL:
    """Return the URL that an application would write."""
    address = target.addresses[0]
    dialect = f"{target.dialect}+{client.driver}"
    return URL.create(dialect, target.user, target.password, address.host, address.port, target.database)


def plain_arguments(target: Target, client: Client, name: str) -> dict[str, Any]:
    """Return the arguments of the driver's connect that give the session its *name*."""
    if client is Client.ASYNCPG:
        return {"ssl": target.tls, "server_settings": {"application_name": name}}
    return {"sslmode": target.tls, "application_name": name}


def _engine(target: Target, client: Client, setting: Setting, name: str) -> AsyncEngine | Engine:
    if setting is Setting.RESILIENT:
        make = resilient_sync_engine if client is Client.PSYCOPG_SYNC else _asynchronous(client)
        return make(target, application_name=name, pool_size=SIZE, **asdict(WAITS))
    return create_async_engine(
        plain_url(target, client),
        connect_args=plain_arguments(target, client, name),
        isolation_level="SERIALIZABLE",
        pool_size=SIZE,
        max_overflow=0,
        pool_pre_ping=setting is Setting.ON,
    )


def _asynchronous(client: Client) -> Callable[..., AsyncEngine]:
    def make(target: Target, **arguments: Any) -> AsyncEngine:
        return resilient_engine(target, driver=client.driver, **arguments)

    return make


async def _of(strike: Strike) -> None:
    await strike()


def _has_news(driver_connection: Any) -> bool:
    if hasattr(driver_connection, "is_closed"):  # asyncpg reads by itself
        return bool(driver_connection.is_closed())
    if driver_connection.closed:
        return True
    poll = select.poll()
    poll.register(driver_connection.fileno(), select.POLLIN | select.POLLHUP | select.POLLERR)
    return bool(poll.poll(0))
