"""The engine of an application on distributed SQL: every bound explicit, connections spread over the nodes."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from lab.db.dialects import trust_row_counts
from lab.db.drivers import OPENERS, Bounds, Driver
from lab.db.errors import ConnectTimedOut
from lab.db.target import Target

IsolationLevel = Literal["SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED", "AUTOCOMMIT"]


def application_engine(
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
    connect_timeout: float = 2.0,
    command_timeout: float = 5.0,
    close_timeout: float = 0.25,
    statement_timeout: float | None = 4.0,
    idle_in_transaction_timeout: float | None = 10.0,
) -> AsyncEngine:
    """Return an engine whose n-th connection (n from 0) is called "<application_name>-<n>" and goes to address n mod N.

    So a retry after a lost gateway reaches another node, and faults and evidence can name a session. All times are in
    seconds. *statement_timeout* and *idle_in_transaction_timeout* are enforced by the server and given when a
    connection starts: they can neither leak nor be forgotten (None: the server's own). *command_timeout* is the
    client's bound for one exchange, for both drivers; *close_timeout* is the time to be polite to a connection that is
    given up, before it is cut. *isolation_level* holds for every transaction of the engine;
    given on `session.execute()` it would be ignored.

    A connect that outlasts *connect_timeout* raises ConnectTimedOut; every other connect error stays the driver's own.
    """
    url = _url(target, driver)
    bounds = Bounds(
        command_timeout, close_timeout, statement_timeout, idle_in_transaction_timeout, target.refuses, target.schema
    )
    numbers = itertools.count()

    async def open_connection() -> Any:
        # Asking the dialect keeps what it would have passed itself: psycopg's adapters (JSON, inet) travel in here.
        _, arguments = engine.dialect.create_connect_args(url)
        number = next(numbers)
        address = target.addresses[number % len(target.addresses)]
        here = {**arguments, "host": address.host, "port": address.port}
        opening = OPENERS[driver](here, f"{application_name}-{number}", target.tls, bounds)
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
    trust_row_counts(engine.dialect)
    return engine


def session_factory(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Return the sessions of *engine*; objects stay readable after commit, as asynchronous code needs them to."""
    return async_sessionmaker(engine, expire_on_commit=False)


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
