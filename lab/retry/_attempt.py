"""One attempt at a unit of work: a fresh session, explicit phases, and a connection that is cut rather than waited for.

A deadline first cuts the connection and cancels only if that did not end the attempt: both drivers answer a cut at
once, while cancellation in a black hole makes them negotiate for seconds.
"""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from lab.db.drivers import cut
from lab.db.models import IdempotencyKey
from lab.retry.classify import Decision, Phase, classify
from lab.retry.shape import AlreadyApplied, Sessions, Work

T = TypeVar("T")

_cleaning: set[asyncio.Task[None]] = set()  # the loop itself holds tasks weakly
GRACE = 0.05  # seconds between cutting a connection and cancelling whatever still waits


class Attempt(Generic[T]):
    """An attempt that must end at *ends* (the loop's clock, s); afterwards *phase* says how far it came.

    *owns_key* turns true when the idempotency key was inserted: no earlier attempt can be applied any more.
    *struck* turns true when the deadline has cut the attempt.
    """

    def __init__(self, sessions: Sessions, work: Work[T], key: str | None, ends: float, cleanup: float) -> None:
        self.phase = Phase.CONNECT
        self.struck = False
        self.owns_key = False
        self._session: AsyncSession = sessions()
        self._work = work
        self._key = key
        self._ends = ends
        self._cleanup = cleanup
        self._connection: Connection | None = None

    async def run(self) -> T | AlreadyApplied:
        """Return the answer of the work once COMMIT is acknowledged; else raise the first error, session closed."""
        timer = asyncio.get_running_loop().call_at(self._ends, self._strike)
        try:
            async with asyncio.timeout_at(self._ends + GRACE):
                return await self._transaction()
        except BaseException as error:
            # Shielded: a second cancellation passes at once, while the bounded clean-up goes on by itself.
            await asyncio.shield(_kept(asyncio.ensure_future(self._give_back(error))))
            raise
        finally:
            timer.cancel()

    def decide(self, error: BaseException) -> Decision:
        """Return what may be done after *error* ended this attempt."""
        decision = classify(error, self.phase)
        if self.struck and decision is not Decision.UNKNOWN:
            return Decision.NEVER
        return decision

    async def _transaction(self) -> T | AlreadyApplied:
        await self._session.run_sync(self._begin)
        if self._key is not None and not await self._take_key(self._key):
            await self._session.close()
            return AlreadyApplied(self._key)
        answer = await self._work(self._session)
        await self._session.run_sync(self._commit)
        return answer

    async def _take_key(self, key: str) -> bool:
        """Insert *key*; waits for another transaction in doubt about it. False if it is there already."""
        take = insert(IdempotencyKey).values(key=key).on_conflict_do_nothing().returning(IdempotencyKey.key)
        self.owns_key = await self._session.scalar(take) is not None
        return self.owns_key

    def _begin(self, session: Session) -> None:
        self._connection = session.connection()
        self.phase = Phase.STATEMENT

    def _commit(self, session: Session) -> None:
        # The flush belongs to the statements: an error in it is certain, one in COMMIT need not be.
        session.flush()
        self.phase = Phase.COMMIT
        session.commit()
        session.close()

    async def _give_back(self, error: BaseException) -> None:
        """Close the session within *cleanup* seconds, cutting the connection if need be; never masks *error*."""
        hopeless = self.struck or isinstance(error, TimeoutError)
        if hopeless:
            self._cut()
        timer = asyncio.get_running_loop().call_later(self._cleanup, self._cut)
        try:
            async with asyncio.timeout(self._cleanup + GRACE):
                await (self._session.invalidate() if hopeless else self._session.close())
        except Exception as trouble:
            self._cut()
            error.add_note(f"giving the connection back failed as well: {trouble!r}")
        finally:
            timer.cancel()

    def _strike(self) -> None:
        self.struck = True
        self._cut()

    def _cut(self) -> None:
        if self._connection is not None:
            cut(_driver_connection(self._connection))


def _driver_connection(connection: Connection) -> Any:
    return None if connection.closed or connection.invalidated else connection.connection.driver_connection


def _kept(task: asyncio.Task[None]) -> asyncio.Task[None]:
    _cleaning.add(task)
    task.add_done_callback(_cleaning.discard)
    return task
