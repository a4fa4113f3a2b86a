"""The engine of an application on distributed SQL: every bound explicit, connections spread over the nodes.

One implementation, two doors: `resilient_engine` for asyncio with both drivers, `resilient_sync_engine` with psycopg.
"""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from lab.db.dialects import trust_row_counts
from lab.db.drivers import OPENERS, Bounds, Driver, open_psycopg_sync
from lab.db.errors import ConnectTimedOut
from lab.db.lateness import tell_late_commands
from lab.db.ping import bound_ping
from lab.db.target import Address, Target
from lab.db.tcp import Tcp

IsolationLevel = Literal["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT"]


def resilient_engine(
    target: Target,
    *,
    driver: Driver = "asyncpg",
    application_name: str = "app",
    isolation_level: IsolationLevel = "SERIALIZABLE",
    pool_size: int = 5,
    max_overflow: int = 0,
    pool_timeout: float = 5.0,
    pool_pre_ping: bool = True,
    pool_recycle: float = 300.0,
    ping_timeout: float | None = 1.0,
    connect_timeout: float = 2.0,
    command_timeout: float = 5.0,
    close_timeout: float = 0.25,
    statement_timeout: float | None = 4.0,
    idle_in_transaction_timeout: float | None = 10.0,
    tcp_user_timeout: float | None = 5.0,
    keepalive: float | None = 30.0,
) -> AsyncEngine:
    """Return an engine whose n-th connection (n from 0) is called "<application_name>-<n>" and goes to address n mod N.

    So a retry after a lost gateway reaches another node, and faults and evidence can name a session. All times are in
    seconds. `lab.db.Waits` says how long a call can take at worst. In brackets: the cell of the pool matrix
    (`lab run pool`, docs/pools.md) that shows why.

    - *isolation_level* holds for every transaction of the engine; given on `session.execute()` it would be ignored.
    - *pool_pre_ping*: without it a connection that died while idle is an error of the next user [FIN, idle].
    - *ping_timeout*: no answer to the ping is a disconnect, and the pool opens another connection; SQLAlchemy's own
      ping would wait for ever [stopped, idle]. None: only the other bounds hold.
    - *connect_timeout*: a node that accepts and says nothing [black hole, idle]; later a ConnectTimedOut is raised,
      every other connect error stays the driver's own.
    - *command_timeout*: the client's bound for one exchange, for both drivers [black hole, COMMIT]. What is late is
      an OperationalError, and its connection is replaced, even if the server is only slow [late, but alive].
    - *close_timeout*: for being polite to a connection that is given up, before it is cut [stopped, in tx].
    - *pool_timeout*: how long to wait for a place in the pool [pool_timeout].
    - *pool_size*, *max_overflow*: beyond the size connections are opened and closed for one user each [overflow].
    - *pool_recycle*: how old a connection may grow; it is replaced at a checkout, never while idle [pool_recycle].
    - *statement_timeout*, *idle_in_transaction_timeout*: the server's bounds, given when a connection starts: a `SET`
      would leak to the next user [SET leaks]. The second frees the locks of a client that is gone [black hole, in tx].
      None leaves the server's own.
    - *tcp_user_timeout*: a host that is gone acknowledges nothing that is sent [vanished, question not acknowledged].
    - *keepalive*: it is gone after it has acknowledged the question: nothing is sent, and only a probe tells [vanished,
      answer never comes]. Both end what waits without a bound of its own; while a proxy or the kernel of a stopped
      process acknowledges they do nothing [stopped, COMMIT].
    """
    url = _url(target, driver)
    tcp = Tcp(tcp_user_timeout, keepalive)
    bounds = _bounds(target, command_timeout, close_timeout, statement_timeout, idle_in_transaction_timeout, tcp)
    places = _Places(target, application_name)

    async def open_connection() -> Any:
        # Asking the dialect keeps what it would have passed itself: psycopg's adapters (JSON, inet) travel in here.
        _, arguments = engine.dialect.create_connect_args(url)
        name, address = places.next()
        opening = OPENERS[driver]({**arguments, **_at(address)}, name, target.tls, bounds)
        return await _within(connect_timeout, opening, lambda: ConnectTimedOut(address, connect_timeout))

    engine = create_async_engine(
        url,
        async_creator=open_connection,
        isolation_level=isolation_level,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout,
        pool_pre_ping=pool_pre_ping,
        pool_recycle=pool_recycle,
    )
    _mend(engine.sync_engine, ping_timeout)
    return engine


def resilient_sync_engine(
    target: Target,
    *,
    application_name: str = "app",
    isolation_level: IsolationLevel = "SERIALIZABLE",
    pool_size: int = 5,
    max_overflow: int = 0,
    pool_timeout: float = 5.0,
    pool_pre_ping: bool = True,
    pool_recycle: float = 300.0,
    ping_timeout: float | None = 1.0,
    connect_timeout: float = 2.0,
    command_timeout: float = 5.0,
    close_timeout: float = 0.25,
    statement_timeout: float | None = 4.0,
    idle_in_transaction_timeout: float | None = 10.0,
    tcp_user_timeout: float | None = 5.0,
    keepalive: float | None = 30.0,
) -> Engine:
    """Return the same for a synchronous application, with psycopg; every argument is that of `resilient_engine`.

    libpq counts *connect_timeout* in whole seconds, 2 at least (`Waits.synchronous`); what outlasts it is psycopg's
    ConnectionTimeout.
    """
    url = _url(target, "psycopg")
    tcp = Tcp(tcp_user_timeout, keepalive)
    bounds = _bounds(target, command_timeout, close_timeout, statement_timeout, idle_in_transaction_timeout, tcp)
    places = _Places(target, application_name)

    def open_connection() -> Any:
        _, arguments = engine.dialect.create_connect_args(url)
        name, address = places.next()
        here = {**arguments, **_at(address)}
        return open_psycopg_sync(here, name, target.tls, bounds, max(2, math.ceil(connect_timeout)))

    engine = create_engine(
        url,
        creator=open_connection,
        isolation_level=isolation_level,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_timeout=pool_timeout,
        pool_pre_ping=pool_pre_ping,
        pool_recycle=pool_recycle,
    )
    _mend(engine, ping_timeout)
    return engine


def session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return the sessions of *engine*; objects stay readable after commit, as asynchronous code needs them to."""
    return async_sessionmaker(engine, expire_on_commit=False)


class _Places:
    """Names and addresses for connections, in turn."""

    def __init__(self, target: Target, application_name: str) -> None:
        self._target = target
        self._name = application_name
        self._numbers = itertools.count()

    def next(self) -> tuple[str, Address]:
        number = next(self._numbers)
        return f"{self._name}-{number}", self._target.addresses[number % len(self._target.addresses)]


def _at(address: Address) -> dict[str, Any]:
    return {"host": address.host, "port": address.port}


def _bounds(
    target: Target, command: float, close: float, statement: float | None, idle: float | None, tcp: Tcp
) -> Bounds:
    return Bounds(command, close, statement, idle, target.refuses, target.schema, tcp)


def _mend(engine: Engine, ping_timeout: float | None) -> None:
    trust_row_counts(engine.dialect)
    tell_late_commands(engine)
    if ping_timeout is not None:
        bound_ping(engine.dialect, ping_timeout)


def _url(target: Target, driver: Driver) -> URL:
    # The dialect name is all that CockroachDB asks for; sqlalchemy_cockroachdb registers both drivers under it.
    first = target.addresses[0]
    return URL.create(
        f"{target.dialect}+{driver}", target.user, target.password, first.host, first.port, target.database
    )


async def _within(seconds: float, opening: Awaitable[Any], late: Callable[[], Exception]) -> Any:
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await opening
    except TimeoutError as error:
        if bound.expired():
            raise late() from error
        raise
