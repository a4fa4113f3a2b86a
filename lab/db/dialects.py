"""What differs between PostgreSQL and CockroachDB, in one place."""

from __future__ import annotations

import asyncio
import time
from decimal import Decimal
from typing import Final

from sqlalchemy import Dialect, Numeric, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

POLL: Final = 0.01
"""Seconds between two looks whether sessions are gone."""

# Of two statements the documented one comes first; versions without it show a session's transaction in a table.
_OPEN: Final = {
    "postgresql": (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name AND state LIKE 'idle in transaction%'",
    ),
    "cockroachdb": (
        "SELECT count(*) FROM [SHOW CLUSTER TRANSACTIONS] WHERE application_name LIKE :name",
        "SELECT count(*) FROM crdb_internal.cluster_sessions WHERE application_name LIKE :name AND kv_txn IS NOT NULL",
    ),
}
_ALIVE: Final = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name",
    "cockroachdb": "SELECT count(*) FROM [SHOW CLUSTER SESSIONS] WHERE application_name LIKE :name",
}
_BUSY: Final = {
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name AND state <> 'idle'",
    "cockroachdb": (
        "SELECT count(*) FROM [SHOW CLUSTER SESSIONS] WHERE application_name LIKE :name AND active_queries <> ''"
    ),
}
_END: Final = {
    "postgresql": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE :name",
    "cockroachdb": (
        "CANCEL SESSIONS IF EXISTS SELECT session_id FROM [SHOW CLUSTER SESSIONS] WHERE application_name LIKE :name"
    ),
}


def trust_row_counts(dialect: Dialect) -> None:
    """Have SQLAlchemy look at the row counts of *dialect*, which are right with every driver here.

    sqlalchemy-cockroachdb 2.0.4 says that psycopg's are not: an UPDATE that finds its version_id_col changed then
    writes nothing, and instead of StaleDataError there is only a warning: a lost update.
    """
    if dialect.name == "cockroachdb":
        dialect.supports_sane_rowcount = True


class database_time(FunctionElement[Decimal]):  # noqa: N801 - named as a function of SQL
    """The database's own time of a transaction that inserts it, as a number that grows: nanoseconds, or seconds.

    CockroachDB orders transactions by their logical timestamps, and nothing else that it offers is promised to agree
    with their order. On PostgreSQL, one server, the clock at the statement does.
    """

    type = Numeric()
    inherit_cache = True


@compiles(database_time)
def _clock(_element: database_time, _compiler: SQLCompiler, **_: object) -> str:
    return "extract(epoch from clock_timestamp())"


@compiles(database_time, "cockroachdb")
def _logical(_element: database_time, _compiler: SQLCompiler, **_: object) -> str:
    return "cluster_logical_timestamp()"


async def open_transactions(engine: AsyncEngine, application: str) -> int:
    """Return how many sessions whose application_name begins with *application* have an open transaction."""
    queries = _OPEN[engine.dialect.name]
    for query in queries[:-1]:
        try:
            return await _count(engine, query, application)
        except DBAPIError:
            continue
    return await _count(engine, queries[-1], application)


async def unfinished(engine: AsyncEngine, application: str) -> int:
    """Return how many of these sessions run a statement or have an open transaction."""
    return await _count(engine, _BUSY[engine.dialect.name], application) or await open_transactions(engine, application)


async def alive(engine: AsyncEngine, application: str) -> int:
    """Return how many sessions there are whose application_name begins with *application*."""
    return await _count(engine, _ALIVE[engine.dialect.name], application)


async def end_sessions(engine: AsyncEngine, application: str, within: float) -> None:
    """End these sessions and return when they are gone, after *within* seconds at the latest.

    The statement is run without a transaction: CockroachDB would refuse to end with a session of its own.
    """
    deadline = time.monotonic() + within
    while await alive(engine, application):
        async with engine.connect() as connection:
            free = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await free.execute(text(_END[engine.dialect.name]), {"name": f"{application}%"})
        if time.monotonic() > deadline:
            return
        await asyncio.sleep(POLL)


async def _count(engine: AsyncEngine, query: str, application: str) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(query), {"name": f"{application}%"})).scalar_one())
