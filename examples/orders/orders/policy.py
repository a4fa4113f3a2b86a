"""The retry policy: what is certain not to be applied is repeated, and what is not certain is settled by a key.

The key of a unit is written by its own transaction. A repetition that finds it there knows that an earlier attempt was
applied, whatever the application has heard of it.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

T = TypeVar("T")
Sessions = async_sessionmaker[AsyncSession]
Work = Callable[[AsyncSession], Awaitable[T]]

ATTEMPTS = 8
DEADLINE = 10.0
FIRST_WAIT, LONGEST_WAIT = 0.02, 1.0

NOT_APPLIED = ("40001", "40P01")
"""The server rolled the transaction back, and says so."""

CONNECTION_LOST = ("08", "57P0", "53300")
"""SQLSTATEs, or how they begin, with which a session ends or none begins."""

FAILURES = (DBAPIError, asyncpg.PostgresError, asyncpg.InterfaceError, PoolTimeout, OSError, TimeoutError)
"""What a database throws; SQLAlchemy leaves the errors of a connect as the driver has them."""

CLAIM = text("INSERT INTO idempotency_keys (key) VALUES (:key) ON CONFLICT DO NOTHING RETURNING key")


class OutcomeUnknown(Exception):
    """The unit may or may not have been applied: ask again with the same key."""


async def run(sessions: Sessions, work: Work[T], *, key: str) -> T | None:
    """Apply *work* once, in a transaction of its own; return its answer, or None if *key* was applied before.

    Raises OutcomeUnknown if an answer to COMMIT was lost and could not be settled in time; else the last error.
    """
    ends = asyncio.get_running_loop().time() + DEADLINE
    doubt = False
    for attempt in range(1, ATTEMPTS + 1):
        unit = _Attempt(work, key)
        try:
            async with asyncio.timeout_at(ends):
                return await unit.run(sessions)
        except FAILURES as error:
            state = sqlstate(error)
            doubt = doubt or (unit.committing and state not in NOT_APPLIED)
            wait = random.uniform(0.5, 1.0) * min(LONGEST_WAIT, FIRST_WAIT * 2**attempt)
            late = asyncio.get_running_loop().time() + wait > ends
            if attempt == ATTEMPTS or late or not may_pass(error):
                if doubt:
                    raise OutcomeUnknown(f"unit {key}") from error
                raise
        await asyncio.sleep(wait)
    raise AssertionError


class _Attempt(Generic[T]):
    def __init__(self, work: Work[T], key: str) -> None:
        self.committing = False
        self._work = work
        self._key = key

    async def run(self, sessions: Sessions) -> T | None:
        async with sessions() as session:
            if await session.scalar(CLAIM, {"key": self._key}) is None:
                return None
            answer = await self._work(session)
            await session.flush()
            self.committing = True
            await session.commit()
            return answer


def sqlstate(error: BaseException) -> str | None:
    """Return the SQLSTATE of an error; None if the server did not say one."""
    return getattr(getattr(error, "orig", error), "sqlstate", None)


def may_pass(error: BaseException) -> bool:
    """Whether another attempt can succeed: a conflict, a lost connection or a refused one, but no wrong statement."""
    state = sqlstate(error)
    if state is None:  # the network, a time-out, a pool that is empty
        return True
    return state in (*NOT_APPLIED, "40003") or state.startswith(CONNECTION_LOST)
