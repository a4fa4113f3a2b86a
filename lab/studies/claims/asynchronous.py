"""Claims about asynchronous code: what stops the loop, which drivers it needs, what must not be shared."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from sqlalchemy import func, select, text
from sqlalchemy.exc import InvalidRequestError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from lab.db.drivers import Driver
from lab.db.engine import session_factory
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import DRIVERS, Bench
from lab.studies.claims.models import Author

STATEMENT: Final = 0.3
"""Seconds of the statement that holds its caller up."""

BEAT: Final = 0.005
"""Seconds between two heartbeats."""

QUIET: Final = 0.4
"""The share of the statement up to which a gap is the machine's, and not of a loop that stands still."""

ROUNDS: Final = 5
"""How often two tasks share a session."""

_SLEEP = text("SELECT pg_sleep(:seconds)")

Call = Callable[[Session], Awaitable[object]]


async def directly(session: Session) -> None:
    """Run the statement as is done by mistake: a synchronous session in a coroutine."""
    session.execute(_SLEEP, {"seconds": STATEMENT})  # noqa: LAB201


async def blocks_the_loop(bench: Bench, *, call: Call = directly) -> Measured:
    """Have a heart beat in the loop while a synchronous session waits for the database, and an asynchronous one."""
    with Session(bench.sync_engine()) as session:
        session.connection()  # noqa: LAB201
        stood, _ = await _stood_still(lambda: call(session))
    async with AsyncSession(bench.engine()) as other:
        await other.connection()
        for _ in range(3):  # a busy machine is no loop that stands still
            rest, _ = await _stood_still(lambda: other.execute(_SLEEP, {"seconds": STATEMENT}))
            if rest <= QUIET:
                break
    seen = None if rest > QUIET else stood > 0.8
    return Measured(
        f"stood still {stood:.0%} of it; async {rest:.0%}",
        (
            Part(
                "a synchronous Session in 'async def' stops the event loop",
                seen,
                f"longest gap of a heartbeat: {stood:.0%} of the statement; with an AsyncSession {rest:.0%}",
            ),
        ),
    )


async def starves_threads(bench: Bench) -> Measured:
    """Have a heart beat in a thread while a synchronous session stops the loop."""
    with Session(bench.sync_engine()) as session:
        session.connection()  # noqa: LAB201
        loop, thread = await _stood_still(lambda: directly(session))
    seen = None if loop < 0.8 else thread > 0.8
    return Measured(
        f"the loop stood still {loop:.0%}, a thread {thread:.0%}",
        (
            Part(
                "other threads get no turn, too",
                seen,
                f"longest gap: {thread:.0%} of the statement in a thread, {loop:.0%} in the loop",
            ),
        ),
    )


async def _stood_still(call: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the longest gap between two heartbeats in the loop, and in a thread, as a share of the call's time."""
    beats: list[float] = []
    ticks: list[float] = []
    over = threading.Event()

    async def beat() -> None:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(BEAT)

    def tick() -> None:
        while not over.wait(BEAT):
            ticks.append(time.monotonic())

    heart, thread = asyncio.create_task(beat()), threading.Thread(target=tick)
    thread.start()
    await asyncio.sleep(4 * BEAT)
    began = time.monotonic()
    try:
        await call()
        took = time.monotonic() - began
        await asyncio.sleep(2 * BEAT)
    finally:
        over.set()
        heart.cancel()
        await asyncio.to_thread(thread.join, 1)
        with suppress(asyncio.CancelledError):
            await heart
    return _longest(beats, began, began + took) / took, _longest(ticks, began, began + took) / took


def _longest(beats: list[float], began: float, ended: float) -> float:
    """Return the longest time within the call that saw no beat."""
    inside = [began, *(beat for beat in beats if began < beat < ended), ended]
    return max(after - before for before, after in itertools.pairwise(inside))


async def async_dialects(bench: Bench) -> Measured:
    """Give create_async_engine a synchronous driver, and one that is neither asyncpg nor aiosqlite."""
    await bench.fresh(authors=1)
    try:
        create_async_engine("sqlite://")
        refused = "accepted"
    except InvalidRequestError as error:
        refused = type(error).__name__
    async with bench.engine("psycopg").connect() as connection:
        rows = len((await connection.execute(select(Author))).all())
    same = await asyncio.to_thread(_same_url, bench)
    return Measured(
        f"sqlite3 {'works' if refused == 'accepted' else 'is refused'}; psycopg {'works' if rows else 'does not'}",
        (
            Part("a synchronous driver is refused", refused != "accepted", f"sqlite3: {refused}"),
            Part(
                "it has to be asyncpg or aiosqlite",
                rows != 1,
                f"psycopg read {rows} row, and {same} by the same URL with create_engine()",
            ),
        ),
    )


def _same_url(bench: Bench) -> int:
    with Session(bench.sync_engine()) as session:
        return len(session.scalars(select(Author)).all())


async def shared_session(bench: Bench, *, shared: bool = True) -> Measured:
    """Share a session between loops, between tasks at once, and between tasks in turn; or give each its own."""
    engine = await bench.fresh()
    loops = {driver: await asyncio.to_thread(_two_loops, bench, driver) for driver in DRIVERS}
    at_once = {driver: await _at_once(bench.engine(driver), shared=shared) for driver in DRIVERS}
    lost = [await _in_turn(engine, number, shared=shared) for number in range(1, ROUNDS + 1)]
    told = ", ".join(f"{driver}: {seen}" for driver, seen in loops.items())
    return Measured(
        f"{sum(lost)} of {ROUNDS} acknowledged rows are lost",
        (
            Part("from another event loop it is of no use", all(seen != "worked" for seen in loops.values()), told),
            Part(
                "tasks that use it at once are refused",
                all(refused for seen in at_once.values() for refused in seen),
                "; ".join(f"{driver}: {_told(*seen)}" for driver, seen in at_once.items()),
            ),
            Part(
                "tasks that use it in turn lose each other's work",
                bool(sum(lost)),
                f"B rolled back, A reported its commit: {sum(lost)} of {ROUNDS} rows are lost",
            ),
        ),
    )


def _two_loops(bench: Bench, driver: Driver) -> str:
    """Use one session from two loops, one after the other, as test suites and task queues do by mistake."""
    engine = bench.engine(driver, pool_size=1)
    session = AsyncSession(engine)
    first = asyncio.new_event_loop()
    try:
        first.run_until_complete(session.execute(text("SELECT 1")))
        try:
            asyncio.run(asyncio.wait_for(_again(session), 2))
        except (RuntimeError, SQLAlchemyError) as error:
            return type(getattr(error, "orig", None) or error).__name__
        except TimeoutError:
            return "no answer"
        return "worked"
    finally:
        # Where the connection was made it can be ended in peace.
        with suppress(Exception):
            first.run_until_complete(session.invalidate())
        first.run_until_complete(engine.dispose())
        first.close()


async def _again(session: AsyncSession) -> None:
    await session.execute(text("SELECT 1"))


async def _at_once(engine: AsyncEngine, *, shared: bool) -> tuple[str, str]:
    """Have two tasks execute at once, first with no connection yet, then with one; return what was refused, and how."""
    sessions = session_factory(engine)
    refused = []
    async with sessions() as one, sessions() as other:
        for _ in range(2):
            both = (one, one if shared else other)
            ended = await asyncio.gather(*(s.execute(_SLEEP, {"seconds": 0.05}) for s in both), return_exceptions=True)
            refused.append(", ".join(type(error).__name__ for error in ended if isinstance(error, BaseException)))
    return refused[0], refused[1]


def _told(first: str, later: str) -> str:
    return f"{first or 'both worked'} while it connects, {later or 'both worked'} later"


async def _in_turn(engine: AsyncEngine, number: int, *, shared: bool) -> bool:
    """Have task A add a row, B fail and roll back, and A commit; return whether A's row is gone then."""
    sessions = session_factory(engine)
    added, rolled_back = asyncio.Event(), asyncio.Event()

    async def a(session: AsyncSession) -> None:
        session.add(Author(id=number, name="acknowledged"))
        await session.flush()
        added.set()
        await rolled_back.wait()
        await session.commit()

    async def b(session: AsyncSession) -> None:
        await added.wait()
        await session.rollback()
        rolled_back.set()

    async with sessions() as one, sessions() as other:
        await asyncio.gather(a(one), b(one if shared else other))
    async with engine.connect() as connection:
        return not await connection.scalar(select(func.count()).select_from(Author).where(Author.id == number))


CLAIMS = (
    Claim(
        "sync-session-in-async",
        "Synchronous Session factories block the event loop if invoked inside async def endpoints",
        (True,),
        "AsyncSession, or the whole unit of work in asyncio.to_thread",
        blocks_the_loop,
    ),
    Claim(
        "thread-starvation",
        "A synchronous Session inside async def causes thread starvation",
        (False,),
        "look at the loop's lag, not at threads: they go on, it is the loop's tasks that starve",
        starves_threads,
    ),
    Claim(
        "async-dialects",
        "create_async_engine() must be paired with the asyncpg or aiosqlite dialects",
        (True, False),
        "postgresql+psycopg works as well, with one URL for synchronous and asynchronous engines",
        async_dialects,
    ),
    Claim(
        "shared-async-session",
        "Async sessions cannot share state across event loops, nor be shared by tasks",
        (False, False, True),
        "one session for each unit of work, made in the task that uses it; nothing stops you from doing it wrong",
        shared_session,
    ),
)
