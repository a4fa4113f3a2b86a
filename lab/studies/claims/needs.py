"""What some claims need of a server that not every server has: found out by asking for it, never by a version."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from lab.studies.claims.bench import Bench, sqlstate_of

ABSENT: Final = frozenset({"0A000", "42P01", "42703"})
"""How a server says that it has no such feature, table or column; any other error says nothing about that."""


class Need(enum.StrEnum):
    """What a server must have so that a claim can be seen on it; the value completes 'the server has no ...'."""

    WEAKER_LEVEL = "level READ COMMITTED"
    """A transaction that asks for READ COMMITTED gets it: CockroachDB may give it SERIALIZABLE."""

    PLAN_COUNTS = "count of plans in pg_prepared_statements"
    """It tells how often a prepared statement was planned, and for its values or not."""


async def lacking(bench: Bench, needs: Iterable[Need]) -> list[Need]:
    """Return what the server of *bench* does not have; what it raises else than that is SQLAlchemy's own error."""
    return [need for need in needs if not await _PROBES[need](bench)]


async def _weaker_level(bench: Bench) -> bool:
    async with bench.engine(isolation_level="READ COMMITTED").connect() as connection:
        return str(await connection.scalar(text("SHOW transaction_isolation"))).lower() == "read committed"


async def _plan_counts(bench: Bench) -> bool:
    counts = text("SELECT custom_plans, generic_plans FROM pg_prepared_statements LIMIT 0")
    try:
        async with bench.engine().connect() as connection:
            await connection.execute(counts)
    except DBAPIError as error:
        if sqlstate_of(error) in ABSENT:
            return False
        raise
    return True


_PROBES: Final[dict[Need, Callable[[Bench], Awaitable[bool]]]] = {
    Need.WEAKER_LEVEL: _weaker_level,
    Need.PLAN_COUNTS: _plan_counts,
}
