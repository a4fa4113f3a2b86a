"""The explorer: run the unit once clean, then once for each moment and action, each time from nothing.

One engine serves all runs, because a new one would first ask the server what it is, and those statements are no part
of the unit. Its pool is thrown away after each run, so that every run begins with no connection, as the clean one did.
Unit and engine live on a loop of their own: one that does not end is left there, and the next run gets another.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.pool import QueuePool

from faults.errors import ControlRefused
from faults.pgwire.rules import Rule
from lab.application import Application
from lab.cleanup import to_its_end
from lab.clusters.base import Cluster
from lab.db import IdempotencyKey, create_tables, resilient_engine, session_factory, table_of
from lab.db.dialects import alive, end_sessions
from lab.db.drivers import Driver
from lab.errors import UsageError
from lab.explore.case import SAID, UNKNOWN, Case, GoesOn, Ran, judge, said_of
from lab.explore.moments import SESSIONS, Step, Strike, parse_only, steps_of, strikes_for, tracing
from lab.history import Outcome
from lab.loading import brief

Unit = Callable[[async_sessionmaker[AsyncSession]], Awaitable[object]]
Count = Callable[[AsyncSession], Awaitable[int]]
Setup = Callable[[AsyncEngine], Awaitable[object]]
Tell = Callable[[int], object]

COMMAND_TIMEOUT = 2.0
"""Seconds of the engine's bound for one exchange: what a black hole costs."""

GRACE = 0.5
"""Seconds that a unit has after it returned or was cancelled, to give its connections back."""

CLEAN_RUNS = 3
"""The first may find empty tables; the others have to be alike."""

PAUSE = 0.002
"""Seconds between two looks at the server's sessions."""

_OURS = f"{SESSIONS}-"


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the *unit*, how to *count* its effects, and the names of errors that say *unknown*.

    *within*: seconds that one run may take. *slow*: with black holes. *only*: one case, such as "7:reset@reply".
    """

    unit: Unit
    count: Count
    setup: Setup | None = None
    driver: Driver = "asyncpg"
    unknown: Collection[str] = field(default=UNKNOWN)
    within: float = 30.0
    slow: bool = False
    only: str | None = None


@dataclass(frozen=True, slots=True)
class Exploration:
    """What was found: the *steps* of the clean run and all judged *cases*, which took *seconds*."""

    about: str
    steps: tuple[Step, ...]
    cases: tuple[Case, ...]
    seconds: float


async def explore(cluster: Cluster, question: Question, tell: Tell) -> Exploration:
    """Explore on a started *cluster*; *tell* hears the number of cases once for each that is done.

    Raises UsageError for a unit that cannot be explored: it raises on the clean run, has not exactly one effect, or
    sends other statements each time.
    """
    # These two go to the server itself, which nobody strikes: no need to ask it each time whether it is there.
    truth = resilient_engine(cluster.direct, application_name="lab-truth", pool_pre_ping=False)
    watch = resilient_engine(
        cluster.direct, application_name="lab-watch", pool_pre_ping=False, isolation_level="AUTOCOMMIT"
    )
    explorer = Explorer(cluster, question, truth, watch)
    try:
        await create_tables(truth, [table_of(IdempotencyKey)])
        if question.setup is not None:
            await _users(question.setup(truth), "the set-up")
        await explorer.begin()
        steps = await explorer.clean()
        began = time.monotonic()
        cases = await explorer.strike_all(_chosen(question, steps), tell)
        return Exploration(cluster.about, steps, cases, time.monotonic() - began)
    finally:
        await to_its_end(explorer.end())
        for one in (truth, watch):
            await one.dispose()


def _chosen(question: Question, steps: Sequence[Step]) -> list[tuple[Step, Strike]]:
    if question.only is not None:
        return [parse_only(question.only, steps)]
    return [(step, strike) for step in steps for strike in strikes_for(step, slow=question.slow)]


@dataclass(slots=True)
class Explorer:
    """Runs the unit with *engine* on the loop of *app*; *truth* and *watch* (autocommit) go around the proxies."""

    cluster: Cluster
    question: Question
    truth: AsyncEngine
    watch: AsyncEngine
    app: Application = field(init=False)
    engine: AsyncEngine = field(init=False)
    stuck: bool = False

    def __post_init__(self) -> None:
        """Make the first application and its engine."""
        self.app = Application()
        self.engine = resilient_engine(
            self.cluster.target,
            driver=self.question.driver,
            application_name=SESSIONS,
            command_timeout=COMMAND_TIMEOUT,
        )

    async def begin(self) -> None:
        """Start the application; from then on its engine knows the server."""

        async def meet() -> None:
            async with self.engine.connect():
                pass
            await self.engine.dispose()

        await self.app.__aenter__()
        await self.app.run(meet())

    async def end(self) -> None:
        """End the application, within some seconds; what cannot be ended is left to the end of the process."""
        if self.app.lives and not self.stuck:
            await self.app.__aexit__()
            self.stuck = self.app.lives

    async def clean(self) -> tuple[Step, ...]:
        """Run without a fault until it is certain what the unit does; return its statements."""
        traces = [await self._clean_run(number) for number in range(1, CLEAN_RUNS + 1)]
        *_, before, last = traces
        if not last:
            raise UsageError("the unit sent nothing: it has to use the sessions that it is given")
        if [(s.connection, s.kind) for s in before] != [(s.connection, s.kind) for s in last]:
            shown = " / ".join(" ".join(step.kind or "ping" for step in trace) for trace in (before, last))
            raise UsageError(f"the unit is not repeatable: two clean runs sent different statements: {shown}")
        return last

    async def _clean_run(self, number: int) -> tuple[Step, ...]:
        ran = await self.run(*tracing())
        said = said_of(ran.error, self.question.unknown)
        what = f"clean run {number} said {SAID[said]}{f' ({brief(ran.error)})' if ran.error else ''}"
        if not ran.ended:
            raise UsageError(f"the unit did not end within {self.question.within:g} s on clean run {number}")
        if said is not Outcome.OK or ran.effects != 1:
            raise UsageError(f"the unit is not repeatable: {what} and left {ran.effects} effects instead of 1")
        if ran.left:
            raise UsageError(f"the unit leaks: {what} and left {ran.left} connections checked out")
        return steps_of(ran.firings)

    async def strike_all(self, chosen: Sequence[tuple[Step, Strike]], tell: Tell) -> tuple[Case, ...]:
        """Run and judge each case, one after the other, up to one that takes the time of all others for ever."""
        cases: list[Case] = []
        for step, strike in chosen:
            ran = await self.run(strike.rule(step))
            cases.append(judge(step, strike, ran, self.question.unknown))
            tell(len(chosen))
            if self.stuck:
                break
        return tuple(cases)

    async def run(self, *rules: Rule) -> Ran:
        """Run the unit once under *rules*, from an empty pool to an idle server."""
        control = self.cluster.control
        before = await self._count()
        for rule in rules:
            await control.arm(rule)
        began = time.monotonic()
        try:
            error, ended = await self._bounded()
            seconds = time.monotonic() - began
        finally:
            for rule in rules:
                with suppress(ControlRefused):
                    await control.disarm(rule.name)
        left = await self._given_back() if ended else 0
        await self._afresh(anew=not ended)
        await self._idle()
        firings, after = await asyncio.gather(control.firings(), self._count())
        await control.forget_firings()
        return Ran(error, after - before, left, ended, seconds, tuple(firings))

    async def _bounded(self) -> tuple[BaseException | None, bool]:
        running = self.app.launch(_told(self.question.unit, session_factory(self.engine)))
        try:
            done, _ = await asyncio.wait({running.future}, timeout=self.question.within)
            if not done and not await self.app.conclude([running], GRACE):
                return GoesOn("it goes on when it is cancelled"), False
            return running.future.result(), bool(done)
        finally:
            running.future.cancel()

    async def _afresh(self, *, anew: bool) -> None:
        """Leave no connection; *anew*: nor the application, in which something may still go on."""
        if anew:
            await self.end()
            if not self.stuck:
                self.__post_init__()
                await self.begin()
        else:
            await self.app.run(self.engine.dispose())

    async def _given_back(self) -> int:
        """Return how many connections the unit has not given back, with some grace for what it does at its end."""
        ends = time.monotonic() + GRACE
        while (left := _checked_out(self.engine)) and time.monotonic() < ends:  # noqa: ASYNC110 - the pool tells nobody
            await asyncio.sleep(PAUSE)
        return left

    async def _idle(self) -> None:
        """Wait until the server has none of the unit's sessions; end those that stay, so that no run meets another."""
        ends = time.monotonic() + GRACE
        while await alive(self.watch, _OURS):
            if time.monotonic() > ends:
                await end_sessions(self.watch, _OURS, GRACE)
            await asyncio.sleep(PAUSE)

    async def _count(self) -> int:
        async with session_factory(self.truth)() as session:
            found = await _users(self.question.count(session), "counting the effects")
        if not isinstance(found, int) or isinstance(found, bool):
            raise UsageError(f"counting the effects has to return an int, not {type(found).__name__}")
        return found


def _checked_out(engine: AsyncEngine) -> int:
    pool = engine.sync_engine.pool
    return pool.checkedout() if isinstance(pool, QueuePool) else 0


async def _told(unit: Unit, sessions: async_sessionmaker[AsyncSession]) -> BaseException | None:
    """Return what the unit raises."""
    try:
        await unit(sessions)
    except BaseException as error:
        return error
    return None


async def _users(answer: Awaitable[object], what: str) -> object:
    try:
        return await answer
    except Exception as error:
        raise UsageError(f"{what} raises {brief(error)}") from error
