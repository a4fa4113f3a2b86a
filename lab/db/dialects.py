"""What differs between PostgreSQL and CockroachDB for whoever asks the server about its sessions."""

from __future__ import annotations

from sqlalchemy import text
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
