"""The unit of work that a policy is given, and what is noted while the policy runs it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from lab.application import Interrupted, sleeps
from lab.retry import sqlstate
from lab.validate.facts import Said, UnitFacts
from lab.validate.loading import Loaded

ARMING = 10.0
"""Seconds that a fault may take to be armed from within a unit."""

PARKED = 60.0
"""Seconds for which a unit waits for its cancellation."""

ENOUGH = 500
"""Sessions of one unit after which it is cancelled: nothing new is to be seen."""

LONG_GAP = 0.05
"""Seconds between two attempts that a policy must have waited somehow."""

OVERHEAD = 0.004
"""Seconds that a rollback and a new session take."""

READ = text("SELECT value FROM validate_counter WHERE name = :unit")
UPDATE = text("UPDATE validate_counter SET value = value + 1 WHERE name = :unit")
INSERT = text("INSERT INTO validate_ledger (unit) VALUES (:unit)")

Reached = Callable[[str, int], "Future[None] | None"]
"""Told (place, number of the call) that a unit is at 'begin', 'middle' or 'end'; goes on when the answer is there."""


class CaseOver(BaseException):
    """The case has ended; not an Exception, so that no policy takes it for one to be retried."""


@dataclass(frozen=True, slots=True)
class Orders:
    """What a unit shall do besides its statements: *fails* with SQL of its own, *park* for a cancellation.

    *cancel_after* (calls) cancels it during the wait that follows.
    """

    fails: str | None = None
    state: str | None = None
    park: bool = False
    cancel_after: int = 0


@dataclass(slots=True)
class Unit:
    """One unit: its name is its idempotency key. The lists grow while a policy runs it."""

    name: str
    orders: Orders
    reached: Reached
    started: float = 0.0
    ended: float = 0.0
    calls: list[float] = field(default_factory=list)
    begun: list[float] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    gaps: list[float] = field(default_factory=list)
    sessions: list[Any] = field(default_factory=list)
    transactions: list[object] = field(default_factory=list)
    hits: int = 0
    stale: bool = False
    inside: bool = False
    left: float | None = None
    pending_sleep: float = 0.0
    task: asyncio.Task[Any] | None = None
    cancelled_at: float | None = None
    over: bool = False
    said: Said = Said.NOTHING
    error: str = ""

    def begin(self, session: Any) -> None:
        """Note a session; it is kept, so that one that nobody closes does not vanish by itself.

        Raises CaseOver when the case has ended, or the policy cannot stop.
        """
        if len(self.begun) == ENOUGH:
            self.cancel()
        if self.over and len(self.begun) < 4 * ENOUGH:  # then no more: whoever catches that as well must not spin
            self.begun.append(time.monotonic())
            raise CaseOver
        self.begun.append(time.monotonic())
        self.sessions.append(session)

    def enter(self, session: Session) -> int:
        """Note a call of the work and return its number, from 1."""
        now = time.monotonic()
        if self.left is not None:
            self.gaps.append(now - self.left)
            self.slept.append(self.pending_sleep)
        self._look_for_old_state(session)
        self.calls.append(now)
        self.inside, self.pending_sleep = True, 0.0
        return len(self.calls)

    def leave(self, session: Session, error: BaseException | None) -> None:
        """Note the end of a call."""
        transaction = session.get_nested_transaction() or session.get_transaction()
        if transaction is not None:
            self.transactions.append(transaction)
        self.inside, self.left = False, time.monotonic()
        if error is not None and self.orders.state is not None and sqlstate(error) == self.orders.state:
            self.hits += 1
        if len(self.calls) == self.orders.cancel_after and self.task is not None:
            asyncio.get_running_loop().call_later(0.001, self.cancel)

    def sleeping(self, seconds: float) -> None:
        """Note a sleep; those between two attempts count."""
        if not self.inside and self.left is not None:
            self.pending_sleep += seconds

    def cancel(self) -> None:
        """Cancel the policy, on its own loop."""
        if self.task is not None and not self.task.done():
            self.cancelled_at = time.monotonic()
            self.task.cancel()

    def _look_for_old_state(self, session: Session) -> None:
        transaction = session.get_nested_transaction() or session.get_transaction()
        if any(transaction is earlier for earlier in self.transactions) or not session.is_active:
            self.stale = True

    def facts(self, effects: int) -> UnitFacts:
        """Return what was seen."""
        ended = self.ended or time.monotonic()
        late = 0 if self.cancelled_at is None else sum(at > self.cancelled_at + 0.001 for at in self.calls + self.begun)
        return UnitFacts(
            said=self.said,
            effects=effects,
            seconds=ended - self.started if self.started else 0.0,
            error=self.error,
            calls=len(self.calls),
            begun=len(self.begun),
            hits=self.hits,
            waits=self._waits(),
            stale=self.stale,
            after_cancel=None if self.cancelled_at is None else ended - self.cancelled_at,
            calls_after_cancel=late,
        )

    def _waits(self) -> tuple[float, ...]:
        """Return what was asked of asyncio.sleep; else the measured gaps, less what a rollback takes."""
        if any(self.slept) or (self.task is not None and max(self.gaps, default=0.0) < LONG_GAP):
            return tuple(self.slept)
        return tuple(max(0.0, gap - OVERHEAD) for gap in self.gaps)


class UnitSessions(async_sessionmaker[AsyncSession]):
    """The sessions of a unit, which tell it of each that is begun."""

    def __init__(self, engine: AsyncEngine, unit: Unit) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._unit = unit

    def __call__(self, **local: Any) -> AsyncSession:
        """Return a new session."""
        session = super().__call__(**local)
        self._unit.begin(session)
        return session


class UnitSyncSessions(sessionmaker[Session]):
    """The same for synchronous policies."""

    def __init__(self, engine: Engine, unit: Unit) -> None:
        super().__init__(engine, expire_on_commit=False)
        self._unit = unit

    def __call__(self, **local: Any) -> Session:
        """Return a new session."""
        session = super().__call__(**local)
        self._unit.begin(session)
        return session


async def run_async(policy: Loaded, unit: Unit, engine: AsyncEngine) -> None:
    """Run the unit through the policy on the running loop, and note what it said; raises nothing."""

    async def work(session: AsyncSession) -> str:
        number = unit.enter(session.sync_session)
        error: BaseException | None = None
        try:
            await _there(unit, "begin", number)
            await session.execute(READ, {"unit": unit.name})
            await session.execute(UPDATE, {"unit": unit.name})
            await _there(unit, "middle", number)
            await session.execute(INSERT, {"unit": unit.name})
            if unit.orders.fails is not None:
                await session.execute(text(unit.orders.fails), {"unit": unit.name})
            if unit.orders.park and number == 1:
                asyncio.get_running_loop().call_later(0.02, unit.cancel)
                await asyncio.sleep(PARKED)
            await _there(unit, "end", number)
        except BaseException as raised:
            error = raised
            raise
        finally:
            unit.leave(session.sync_session, error)
        return unit.name

    sleeps.set(unit.sleeping)
    unit.task = asyncio.current_task()
    unit.started = time.monotonic()
    try:
        await policy.call(UnitSessions(engine, unit), work, **_key(policy, unit))
        unit.said = Said.DONE
    except BaseException as error:
        _note(policy, unit, error)
    unit.ended = time.monotonic()


def run_sync(policy: Loaded, unit: Unit, engine: Engine) -> None:
    """The same in this thread, for a synchronous policy."""

    def work(session: Session) -> str:
        number = unit.enter(session)
        error: BaseException | None = None
        try:
            _there_now(unit, "begin", number)
            session.execute(READ, {"unit": unit.name})
            session.execute(UPDATE, {"unit": unit.name})
            _there_now(unit, "middle", number)
            session.execute(INSERT, {"unit": unit.name})
            if unit.orders.fails is not None:
                session.execute(text(unit.orders.fails), {"unit": unit.name})
            _there_now(unit, "end", number)
        except BaseException as raised:
            error = raised
            raise
        finally:
            unit.leave(session, error)
        return unit.name

    unit.started = time.monotonic()
    try:
        policy.call(UnitSyncSessions(engine, unit), work, **_key(policy, unit))
        unit.said = Said.DONE
    except BaseException as error:
        _note(policy, unit, error)
    unit.ended = time.monotonic()


def _key(policy: Loaded, unit: Unit) -> dict[str, str]:
    return {"key": unit.name} if policy.keyed else {}


def _note(policy: Loaded, unit: Unit, error: BaseException) -> None:
    if isinstance(error, (CaseOver, Interrupted)):
        return  # it has not answered, it was ended
    unit.error = f"{type(error).__name__}: {' '.join(str(error).split())[:160]}"
    if isinstance(error, asyncio.CancelledError):
        unit.said = Said.CANCELLED
    else:
        unit.said = Said.UNKNOWN if policy.says_unknown(error) else Said.FAILED


async def _there(unit: Unit, place: str, number: int) -> None:
    answer = unit.reached(place, number)
    if answer is not None:
        await asyncio.wrap_future(answer)


def _there_now(unit: Unit, place: str, number: int) -> None:
    answer = unit.reached(place, number)
    if answer is not None:
        answer.result(ARMING)
