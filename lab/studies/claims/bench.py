"""Where claims are measured: engines as applications make them, tables, and what counts statements and warnings."""

from __future__ import annotations

import itertools
import logging
import threading
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import URL, Engine, create_engine, event
from sqlalchemy.exc import SADeprecationWarning, SAWarning
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.orm import Session

from lab.clusters.base import Cluster
from lab.db.drivers import Driver
from lab.db.target import Target
from lab.studies.claims.models import Author, Base, Book, Prize

PATIENCE: Final = 5
"""Seconds that a connect or a statement may take: a claim is measured within a few."""

DRIVERS: Final[tuple[Driver, ...]] = ("asyncpg", "psycopg")

_numbers = itertools.count()


@dataclass(frozen=True, slots=True)
class Bench:
    """Engines on a cluster: what SQLAlchemy gives an application that sets nothing but bounds of waiting.

    They and their connections end with the bench.
    """

    cluster: Cluster
    seed: int
    name: str
    _stack: AsyncExitStack = field(repr=False)

    def engine(self, driver: Driver = "asyncpg", *, target: Target | None = None, **options: Any) -> AsyncEngine:
        """Return an asyncio engine with SQLAlchemy's own *options*; *target* is the database around the proxies."""
        engine = create_async_engine(
            url_of(target or self.cluster.direct, driver), connect_args=_bounds(driver, self.name), **options
        )
        self._stack.push_async_callback(engine.dispose)
        return engine

    def sync_engine(self, **options: Any) -> Engine:
        """Return a synchronous engine (psycopg)."""
        arguments = _bounds("psycopg", self.name)
        engine = create_engine(url_of(self.cluster.direct, "psycopg"), connect_args=arguments, **options)
        self._stack.callback(engine.dispose)
        return engine

    async def fresh(self, *, authors: int = 0, books: int = 0, prizes: int = 0) -> AsyncEngine:
        """Fill the tables anew with so many authors, each with so many books and prizes; return an asyncpg engine."""
        engine = self.engine()
        # Made once and emptied since: on a cluster every change of a schema takes as long as a claim.
        async with engine.begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        async with engine.begin() as connection:
            for table in reversed(Base.metadata.sorted_tables):
                await connection.execute(table.delete())
            await connection.run_sync(_fill, authors, books, prizes)
        return engine


@asynccontextmanager
async def bench(cluster: Cluster, seed: int = 0) -> AsyncIterator[Bench]:
    """Yield a bench on a started cluster, and end whatever was opened on it."""
    async with AsyncExitStack() as stack:
        stack.enter_context(quiet())
        yield Bench(cluster, seed, f"claims-{next(_numbers)}", stack)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what drivers and pools log about mistakes, which are made on purpose here, from standard error."""
    mute = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in ("psycopg", "sqlalchemy", "asyncio")]
    for logger in loggers:
        logger.addHandler(mute)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(mute)


def url_of(target: Target, driver: Driver) -> URL:
    """Return the URL of the first address of *target*."""
    first = target.addresses[0]
    dialect = f"{target.dialect}+{driver}"
    return URL.create(dialect, target.user, target.password, first.host, first.port, target.database)


def _bounds(driver: Driver, name: str) -> dict[str, Any]:
    if driver == "asyncpg":
        return {"timeout": PATIENCE, "command_timeout": PATIENCE, "server_settings": {"application_name": name}}
    options = f"-c statement_timeout={PATIENCE * 1000}"
    return {"connect_timeout": PATIENCE, "application_name": name, "options": options}


def _fill(connection: Any, authors: int, books: int, prizes: int) -> None:
    # Keys are given: without them SQLAlchemy's statement for many rows asks for more than old servers understand.
    keys = itertools.count(1)
    with Session(connection) as session:
        for number in range(1, authors + 1):
            author = Author(id=number, name=f"author {number}")
            author.books = [Book(id=next(keys), title=f"book {n} of {number}") for n in range(books)]
            author.prizes = [Prize(id=next(keys), title=f"prize {n} of {number}") for n in range(prizes)]
            session.add(author)
        session.commit()


def opened(engine: Engine | AsyncEngine) -> list[object]:
    """Return a list that grows by one for each connection that *engine* opens from now on.

    Asking the server who it is would not tell: pg_backend_pid() of CockroachDB was the same for all up to 22.1, and is
    not promised to differ since.
    """
    connections: list[object] = []
    under = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    event.listen(under, "connect", lambda _connection, record: connections.append(record))
    return connections


@dataclass(slots=True)
class Sent:
    """The statements that went to the server, with how many rows came back and whether SQLAlchemy had them compiled."""

    statements: list[str] = field(default_factory=list)
    cached: int = 0
    rows: int = 0

    def __len__(self) -> int:
        return len(self.statements)


@contextmanager
def sent(engine: Engine | AsyncEngine) -> Iterator[Sent]:
    """Record in this block what *engine* sends."""
    counted = Sent()
    under = engine.sync_engine if isinstance(engine, AsyncEngine) else engine

    def after(_connection: Any, cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        counted.statements.append(statement)
        counted.cached += context.cache_hit.name == "CACHE_HIT"
        counted.rows += max(0, cursor.rowcount)

    event.listen(under, "after_cursor_execute", after)
    try:
        yield counted
    finally:
        event.remove(under, "after_cursor_execute", after)


_warned = threading.Lock()


@contextmanager
def sa_warnings() -> Iterator[list[type[Warning]]]:
    """Yield what is, after this block, the classes of SQLAlchemy's warnings in it, one for each."""
    classes: list[type[Warning]] = []
    with _warned, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield classes
        classes += [one.category for one in caught if issubclass(one.category, (SADeprecationWarning, SAWarning))]


def sqlstate_of(error: BaseException) -> str:
    """Return the SQLSTATE of an error, or the name of its class if it has none."""
    original = getattr(error, "orig", None) or error
    return str(getattr(original, "sqlstate", None) or type(original).__name__)
