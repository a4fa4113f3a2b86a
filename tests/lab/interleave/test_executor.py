"""Schedules on a real server: steps run when their turn comes, blocking is seen, and everything ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import func, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import QueuePool

from lab.db import resilient_engine
from lab.db.engine import IsolationLevel
from lab.db.target import Target
from lab.errors import UsageError
from lab.interleave import Blocked, Bounds, Executor, Fate, Outcome, executor, parse_schedule
from lab.interleave.steps import End

LEVELS: tuple[IsolationLevel, ...] = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")


@pytest.fixture
async def committed_reads(target: Target) -> AsyncIterator[Executor]:
    """An executor at READ COMMITTED, where blocking ends without an error."""
    async with executor(target, "READ COMMITTED") as runs:
        yield runs


def order_of(outcome: Outcome) -> list[str]:
    """Return the statements in the order in which they came back.

    Ends are left out: the end that lets a statement go, and that statement, may come back in either order.
    """
    back = [seen for seen in outcome.seen if seen.done is not None and not isinstance(seen.step.action, End)]
    return [str(seen.step) for seen in sorted(back, key=lambda seen: seen.done or 0)]


HELD = 4242
"""A write of this value meets the trigger of `trigger`, once it has its row."""


@asynccontextmanager
async def trigger(target: Target, act: str) -> AsyncIterator[AsyncConnection]:
    """Have the server *act* for each row that is to hold HELD; yields a session of our own."""
    body = f"BEGIN PERFORM {act}; RETURN NEW; END"
    engine = resilient_engine(target, application_name="holder", isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            function = f"CREATE OR REPLACE FUNCTION act() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
            event = f"BEFORE UPDATE ON test FOR EACH ROW WHEN (NEW.value = {HELD})"
            await connection.execute(text(function))
            await connection.execute(text(f"CREATE TRIGGER act {event} EXECUTE FUNCTION act()"))
            yield connection
            await connection.execute(text("DROP FUNCTION act CASCADE"))
    finally:
        await engine.dispose()


@asynccontextmanager
async def held(target: Target) -> AsyncIterator[AsyncConnection]:
    """Have writes of HELD wait for us, who are no transaction of the schedule."""
    async with trigger(target, f"pg_advisory_xact_lock({HELD})") as connection:
        await connection.execute(select(func.pg_advisory_lock(HELD)))
        yield connection
        await connection.execute(select(func.pg_advisory_unlock(HELD)))


async def test_the_steps_run_in_their_order_and_are_told_what_the_database_answered(committed_reads: Executor) -> None:
    outcome = await committed_reads.run(
        parse_schedule("T1: r*; T2: i3=30, w1+=5; T1: r1; T2: d[value=20], c; T1: r*, p3, a")
    )

    assert [seen.done for seen in outcome.seen] == list(range(9))
    assert [seen.answer for seen in outcome.seen] == [
        ((1, 10), (2, 20)), 1, 1, ((1, 10),), 1, None, ((1, 15), (3, 30)), ((1, 15), (3, 30)), None
    ]  # fmt: skip
    assert outcome.fates == {1: Fate.ABORTED, 2: Fate.COMMITTED}
    assert outcome.final == ((1, 15), (3, 30))
    assert not any(seen.blocked for seen in outcome.seen)


async def test_a_schedule_begins_with_its_own_rows_whatever_the_last_one_left(committed_reads: Executor) -> None:
    await committed_reads.run(parse_schedule("T1: i7=7, w*=1, c"))

    assert (await committed_reads.run(parse_schedule("T1: r*, c"))).final == ((1, 10), (2, 20))
    assert (await committed_reads.run(parse_schedule("T1: r*, c", initial=((5, -1),)))).final == ((5, -1),)
    assert (await committed_reads.run(parse_schedule("T1: r*, c", initial=()))).final == ()


async def test_a_step_that_waits_for_a_lock_is_seen_to_and_the_rest_of_its_transaction_waits_for_it(
    committed_reads: Executor,
) -> None:
    outcome = await committed_reads.run(parse_schedule("T1: w1=11; T2: w1=12; T2: w2=22; T3: r2, c; T1: c; T2: c"))

    assert {str(seen.step): seen.blocked for seen in outcome.seen if seen.blocked} == {"T2: w1=12": Blocked.LOCK}
    assert order_of(outcome) == ["T1: w1=11", "T3: r2", "T2: w1=12", "T2: w2=22"]
    assert outcome.final == ((1, 12), (2, 22))


async def test_a_step_that_was_let_go_comes_back_before_the_next_one_begins(
    target: Target, committed_reads: Executor
) -> None:
    async with trigger(target, "pg_sleep(0.1)"):
        outcome = await committed_reads.run(parse_schedule(f"T1: w1=11; T2: w1={HELD}; T1: c; T3: i3=30, c; T2: c"))

    assert order_of(outcome) == ["T1: w1=11", f"T2: w1={HELD}", "T3: i3=30"]


async def test_an_abort_lets_go_of_who_waits(committed_reads: Executor) -> None:
    outcome = await committed_reads.run(parse_schedule("T1: w1=11; T2: w1+=5; T1: a; T2: r1, c"))

    assert [seen.blocked for seen in outcome.seen] == [None, Blocked.LOCK, None, None, None]
    assert outcome.seen[3].answer == ((1, 15),)


async def test_of_several_that_wait_each_gets_its_turn(committed_reads: Executor) -> None:
    outcome = await committed_reads.run(parse_schedule("T1: w1+=1; T2: w1+=1; T3: w1+=1; T1: c; T2: c; T3: c"))

    # Which of the two the server serves first is its own affair.
    assert [seen.blocked for seen in outcome.seen[:3]] == [None, Blocked.LOCK, Blocked.LOCK]
    assert set(outcome.fates.values()) == {Fate.COMMITTED}
    assert outcome.final == ((1, 13), (2, 20))


@pytest.mark.parametrize("level", LEVELS)
async def test_a_deadlock_is_recorded_and_the_survivor_goes_on(target: Target, level: IsolationLevel) -> None:
    async with executor(target, level) as runs:
        outcome = await runs.run(parse_schedule("T1: w1=11; T2: w2=22; T1: w2=21; T2: w1=12; T1: c; T2: c"))

    assert [seen.sqlstate for seen in outcome.errors] == ["40P01"]
    assert sorted(outcome.fates.values()) == [Fate.COMMITTED, Fate.FAILED]
    assert outcome.final in (((1, 11), (2, 21)), ((1, 12), (2, 22)))


async def test_a_failed_transaction_skips_its_rest_and_holds_nobody_up(target: Target) -> None:
    async with executor(target, "REPEATABLE READ") as runs:
        outcome = await runs.run(parse_schedule("T1: r1; T1: w2=21; T2: w1=12, c; T1: w1=11; T3: w2=23, c; T1: r2, c"))

    assert [(str(seen.step), seen.sqlstate) for seen in outcome.errors] == [("T1: w1=11", "40001")]
    assert [str(seen.step) for seen in outcome.seen if seen.done is None] == ["T1: r2", "T1: c"]
    assert not any(seen.blocked for seen in outcome.seen)
    assert outcome.fates[1] is Fate.FAILED
    assert outcome.final == ((1, 12), (2, 23))


async def test_an_error_that_is_no_conflict_is_recorded_with_its_sqlstate(committed_reads: Executor) -> None:
    outcome = await committed_reads.run(parse_schedule("T1: i1=5, c; T2: r1, c"))

    assert [seen.sqlstate for seen in outcome.errors] == ["23505"]
    assert outcome.fates == {1: Fate.FAILED, 2: Fate.COMMITTED}


async def test_a_server_that_cannot_name_locks_blocks_by_its_silence(target: Target) -> None:
    async with executor(target, "READ COMMITTED", bounds=Bounds(silence=0.05)) as runs:
        runs._names_locks = False
        outcome = await runs.run(parse_schedule("T1: w1=11; T2: w1=12; T1: w2=21; T1: c; T2: w2=22, c"))

    assert {str(seen.step): seen.blocked for seen in outcome.seen if seen.blocked} == {"T2: w1=12": Blocked.SILENCE}
    assert order_of(outcome) == ["T1: w1=11", "T1: w2=21", "T2: w1=12", "T2: w2=22"]
    assert outcome.final == ((1, 12), (2, 22))


async def test_what_waits_for_somebody_else_is_no_lock_of_ours_and_is_cut_in_the_end(target: Target) -> None:
    bounds = Bounds(patience=0.05, end=0.1)
    async with executor(target, "READ COMMITTED", bounds=bounds) as runs, held(target):
        outcome = await runs.run(parse_schedule(f"T1: w1={HELD}; T2: w2=22, c; T1: c"))
        again = await runs.run(parse_schedule("T1: w1=11, c"))

    assert [(str(seen.step), seen.blocked) for seen in outcome.errors] == [(f"T1: w1={HELD}", Blocked.SILENCE)]
    assert outcome.fates == {1: Fate.FAILED, 2: Fate.COMMITTED}
    assert outcome.final == ((1, 10), (2, 22))
    assert again.final == ((1, 11), (2, 20))


async def test_a_cancelled_run_gives_every_connection_back(target: Target) -> None:
    async with executor(target, "READ COMMITTED") as runs, held(target) as watcher:
        run = asyncio.create_task(runs.run(parse_schedule(f"T1: r1; T2: w1={HELD}; T2: c; T1: c")))
        async with asyncio.timeout(10):
            while not await _waiting(watcher):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.005)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run

        assert isinstance(runs._engine.pool, QueuePool)
        assert runs._engine.pool.checkedout() == 0
        assert not await _waiting(watcher)
        assert (await runs.run(parse_schedule("T1: r*, c"))).final == ((1, 10), (2, 20))


async def _waiting(watcher: AsyncConnection) -> int:
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'interleave%' AND wait_event_type = 'Lock'"
    )
    return int((await watcher.execute(text(query))).scalar_one())


async def test_too_many_transactions_are_refused_before_anything_is_touched(committed_reads: Executor) -> None:
    with pytest.raises(UsageError, match="at most 16"):
        await committed_reads.run(parse_schedule("; ".join(f"T{n}: c" for n in range(1, 18))))


async def test_an_executor_tells_the_level_it_really_has_and_leaves_no_table(target: Target) -> None:
    for level in LEVELS:
        async with executor(target, level) as runs:
            assert await runs.level() == level
    engine = resilient_engine(target)
    async with engine.connect() as connection:
        assert "test" not in await connection.run_sync(lambda sync: inspect(sync).get_table_names())
    await engine.dispose()
