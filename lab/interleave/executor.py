"""Runs schedules: each transaction on a session of its own, each step begun when its turn comes.

A step comes back, or it is blocked: then the schedule goes on with the other transactions, and the rest of the blocked
one waits for it. Where the server can name the lock that a session waits for (PostgreSQL) blocking is a fact; elsewhere
a step that is silent for long enough counts as blocked. After every end of a transaction, which is what releases locks,
all blocked ones are looked at again before the next step: so the same schedule gives the same interleaving. (Which of
several that wait for the same row goes first is up to the server.)
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random
from typing import Final

from sqlalchemy import delete, func, insert, select, text
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from lab.cleanup import to_its_end
from lab.db import create_tables, drop_tables, resilient_engine, session_factory
from lab.db.dialects import end_sessions
from lab.db.engine import IsolationLevel
from lab.db.target import Target
from lab.errors import UsageError
from lab.interleave._lane import Lane
from lab.interleave.outcome import Blocked as How
from lab.interleave.outcome import Fate, Outcome, Seen
from lab.interleave.steps import Row, Schedule
from lab.interleave.table import TABLES, Pair
from lab.retry import AlreadyApplied, RetryPolicy

MOST_AT_ONCE: Final = 16
"""Transactions of one schedule."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Bounds of waiting, in seconds.

    *silence*: a step that has not come back after it counts as blocked where the server cannot name locks; *patience*:
    the same where it can, for servers too busy to be asked. *poll*: between two looks at the locks. *statement*: the
    longest that the server, and then the client, lets a statement take. *end*: for what is still under way once the
    last step was begun (deadlocks are resolved in it); what is not back then is cut.
    """

    silence: float = 1.0
    patience: float = 5.0
    poll: float = 0.002
    statement: float = 15.0
    end: float = 10.0


class Executor:
    """Runs schedules on one table of one database at one isolation level; made by `executor`."""

    def __init__(self, engine: AsyncEngine, truth: AsyncEngine, name: str, bounds: Bounds) -> None:
        self._name = name
        self._engine = engine
        self._truth = truth
        self._bounds = bounds
        self._sessions = session_factory(engine)
        self._settled = RetryPolicy(attempts=10, deadline=bounds.statement, repeatable=True, random=Random(0))
        self._names_locks = False

    async def prepare(self) -> None:
        """Make the table, and find out whether the server can name locks."""
        await drop_tables(self._truth, TABLES)
        await create_tables(self._truth, TABLES)
        try:
            async with self._truth.connect() as connection:
                await connection.execute(select(func.pg_blocking_pids(func.pg_backend_pid())))
        except DBAPIError:
            return
        self._names_locks = self._truth.dialect.name == "postgresql"

    async def level(self) -> str | None:
        """Return the isolation level that transactions really have, as the server calls it, in capitals.

        None if SQLAlchemy's dialect does not offer the level. A server may run a transaction at a stronger one than it
        was asked for, and say nothing.
        """
        try:
            async with self._engine.connect() as connection:
                shown = (await connection.execute(text("SHOW transaction_isolation"))).scalar_one()
        except ArgumentError:
            return None
        return str(shown).upper()

    async def run(self, schedule: Schedule) -> Outcome:
        """Fill the table, run the schedule, and return what every step met and what the table holds then.

        Ends in bounded time, and gives every connection back, also when cancelled. What steps meet is recorded, not
        raised; an error of filling or reading the table is SQLAlchemy's own. Raises UsageError beyond MOST_AT_ONCE
        transactions.
        """
        if len(schedule.transactions) > MOST_AT_ONCE:
            raise UsageError(f"{len(schedule.transactions)} transactions in one schedule; at most {MOST_AT_ONCE}")
        await self._fill(schedule.initial)
        record: dict[int, Seen] = {}
        lanes = {number: Lane(number, self._sessions(), record) for number in schedule.transactions}
        try:
            for lane in lanes.values():
                await lane.open()
            for index, step in enumerate(schedule.steps):
                lanes[step.transaction].begin(index, step)
                await self._settle(tuple(lanes.values()))
            await self._end(tuple(lanes.values()))
        finally:
            await to_its_end(self._close(tuple(lanes.values())))
        seen = tuple(record.get(index, Seen(step)) for index, step in enumerate(schedule.steps))
        fates = {lane.number: lane.fate or Fate.FAILED for lane in lanes.values()}
        return Outcome(schedule, seen, fates, await self._rows())

    async def _settle(self, lanes: Sequence[Lane]) -> None:
        """Return once every step that was begun has come back, or is known to be blocked by one that has not ended."""
        while waiting := [lane for lane in lanes if lane.busy and lane.proven != _ended(lanes)]:
            await self._watch(waiting[0], lanes)
        for lane in lanes:
            if not lane.busy:
                await lane.wait(0)

    async def _watch(self, lane: Lane, lanes: Sequence[Lane]) -> None:
        clock = asyncio.get_running_loop()
        deadline = clock.time() + (self._bounds.patience if self._names_locks else self._bounds.silence)
        while True:
            await lane.wait(self._bounds.poll if self._names_locks else deadline - clock.time())
            if not lane.busy:
                return None
            ended, present = _ended(lanes), lane.present
            if await self._waits_for_a_lock(lane, lanes):
                return lane.block(How.LOCK, present, ended)
            if clock.time() >= deadline:
                return lane.block(How.SILENCE, present, ended)

    async def _waits_for_a_lock(self, lane: Lane, lanes: Sequence[Lane]) -> bool:
        if not self._names_locks:
            return False
        # Unlike wait_event, which a session takes back when it gets to run, this looks into the table of locks itself.
        async with self._truth.connect() as connection:
            blocking = (await connection.execute(select(func.pg_blocking_pids(lane.pid)))).scalar_one()
        return not {other.pid for other in lanes}.isdisjoint(blocking)

    async def _end(self, lanes: Sequence[Lane]) -> None:
        clock = asyncio.get_running_loop()
        deadline = clock.time() + self._bounds.end
        for lane in lanes:
            await lane.wait(max(0.0, deadline - clock.time()))

    async def _close(self, lanes: Sequence[Lane]) -> None:
        cut = await asyncio.gather(*(lane.close(self._bounds.end) for lane in lanes))
        if any(cut):  # the server would not notice before the statement ends, and keep the locks until then
            await end_sessions(self._truth, self._name, self._bounds.end)

    async def _fill(self, rows: Sequence[Row]) -> None:
        async def fill(session: AsyncSession) -> None:
            await session.execute(delete(Pair).execution_options(synchronize_session=False))
            if rows:
                await session.execute(insert(Pair), [{"id": number, "value": value} for number, value in rows])

        await self._settled(session_factory(self._truth), fill)

    async def _rows(self) -> tuple[Row, ...]:
        async def read(session: AsyncSession) -> tuple[Row, ...]:
            found = await session.execute(select(Pair.id, Pair.value).order_by(Pair.id))
            return tuple((number, value) for number, value in found)

        rows = await self._settled(session_factory(self._truth), read)
        assert not isinstance(rows, AlreadyApplied)  # noqa: S101 - only units with a key can be
        return rows


def _ended(lanes: Sequence[Lane]) -> int:
    return sum(lane.fate is not None for lane in lanes)


@asynccontextmanager
async def executor(
    target: Target, level: IsolationLevel = "SERIALIZABLE", *, bounds: Bounds | None = None
) -> AsyncIterator[Executor]:
    """Yield an executor of schedules at an isolation *level* of the database *target*, in which it makes its table.

    The table is dropped in the end. Raises SQLAlchemy's own error if the table cannot be made.
    """
    given = bounds or Bounds()
    name = f"interleave-{uuid.uuid4().hex[:8]}"
    engine = resilient_engine(
        target,
        application_name=name,
        isolation_level=level,
        pool_size=MOST_AT_ONCE,
        statement_timeout=given.statement,
        command_timeout=given.statement + 1.0,
        idle_in_transaction_timeout=given.statement + given.end,
    )
    truth = resilient_engine(target, application_name="truth", pool_size=1)
    try:
        made = Executor(engine, truth, name, given)
        await made.prepare()
        yield made
    finally:
        await to_its_end(_dispose(engine, truth))


async def _dispose(engine: AsyncEngine, truth: AsyncEngine) -> None:
    await engine.dispose()
    try:
        await drop_tables(truth, TABLES)
    finally:
        await truth.dispose()
