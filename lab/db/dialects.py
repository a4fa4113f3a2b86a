"""What differs between PostgreSQL and CockroachDB, in one place."""

from __future__ import annotations

from sqlalchemy import Dialect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

_POSTGRESQL = (
    "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name AND state LIKE 'idle in transaction%'",
)
# The documented statement first; versions without it show the transaction of a session in an internal table.
_COCKROACHDB = (
    "SELECT count(*) FROM [SHOW CLUSTER TRANSACTIONS] WHERE application_name LIKE :name",
    "SELECT count(*) FROM crdb_internal.cluster_sessions WHERE application_name LIKE :name AND kv_txn IS NOT NULL",
)


def trust_row_counts(dialect: Dialect) -> None:
    """Have SQLAlchemy look at the row counts of *dialect*, which are right with every driver here.

    sqlalchemy-cockroachdb 2.0.4 says that psycopg's are not: an UPDATE that finds its version_id_col changed then
    writes nothing, and instead of StaleDataError there is only a warning: a lost update.
    """
    if dialect.name == "cockroachdb":
        dialect.supports_sane_rowcount = True


async def open_transactions(engine: AsyncEngine, application: str) -> int:
    """Return how many sessions whose application_name begins with *application* have an open transaction."""
    queries = _COCKROACHDB if engine.dialect.name == "cockroachdb" else _POSTGRESQL
    for query in queries[:-1]:
        try:
            return await _count(engine, query, application)
        except DBAPIError:
            continue
    return await _count(engine, queries[-1], application)


async def _count(engine: AsyncEngine, query: str, application: str) -> int:
    async with engine.connect() as connection:
        return int((await connection.execute(text(query), {"name": f"{application}%"})).scalar_one())
