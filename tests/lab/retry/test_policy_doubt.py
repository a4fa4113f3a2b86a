"""Lost acknowledgements against a real PostgreSQL, with both drivers: unknown without a key, settled with one."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession

from lab.db import IdempotencyKey, resilient_engine, session_factory
from lab.retry import AlreadyApplied, Decision, Observation, OutcomeUnknown, Phase
from tests.lab.db.forwarder import Forwarder, Loss
from tests.lab.retry.bench import Bench, apply, fail
from tests.lab.retry.bench import quick_policy as policy


async def test_a_connection_known_to_be_lost_before_commit_is_retried_without_a_key(lab: Bench) -> None:
    calls = itertools.count()
    seen: list[Observation] = []

    async def work(session: AsyncSession) -> None:
        await apply(session, "early")
        if next(calls) == 0:
            await lab.terminate("app-%")
            await asyncio.sleep(0.05)  # the driver reads the end of the connection

    if lab.driver == "asyncpg":
        await policy(observe=seen.append)(lab.sessions, work)
        assert [(item.phase, item.decision) for item in seen] == [(Phase.COMMIT, Decision.RETRY)]
    else:  # psycopg looks at the connection only with COMMIT, so that nobody can know
        with pytest.raises(OutcomeUnknown):
            await policy()(lab.sessions, work)


@pytest.mark.parametrize(("loss", "applied"), [(Loss.ACK, 1), (Loss.REQUEST, 0)])
async def test_a_connection_lost_at_commit_is_unknown_without_a_key(
    lab: Bench, forwarder: Forwarder, loss: Loss, applied: int
) -> None:
    forwarder.arm(b"COMMIT", loss)
    with pytest.raises(OutcomeUnknown) as caught:
        await policy()(lab.sessions, lambda session: apply(session, "doubt"))
    assert forwarder.fired == 1
    assert caught.value.attempts == 1
    assert isinstance(caught.value.__cause__, DBAPIError)
    assert await lab.effects("doubt") == applied


@pytest.mark.parametrize(("loss", "said"), [(Loss.ACK, AlreadyApplied("k")), (Loss.REQUEST, "keyed")])
async def test_a_key_settles_a_connection_lost_at_commit(
    lab: Bench, forwarder: Forwarder, loss: Loss, said: object
) -> None:
    forwarder.arm(b"COMMIT", loss)
    assert await policy()(lab.sessions, lambda session: apply(session, "keyed"), key="k") == said
    assert forwarder.fired == 1
    assert await lab.effects("keyed") == 1


async def test_a_key_used_before_means_already_applied(lab: Bench) -> None:
    assert await policy()(lab.sessions, lambda session: apply(session, "once"), key="k") == "once"
    assert await policy()(lab.sessions, lambda session: apply(session, "once"), key="k") == AlreadyApplied("k")
    assert await lab.effects("once") == 1
    assert list(await lab.keys()) == ["k"]


async def test_twenty_calls_with_one_key_apply_it_once(lab: Bench) -> None:
    run = policy(attempts=50)
    answers = await asyncio.gather(*(run(lab.sessions, lambda s: apply(s, "race"), key="k") for _ in range(20)))
    assert sorted(map(str, answers)).count("race") == 1
    assert await lab.effects("race") == 1


@pytest.mark.parametrize("ending", ["COMMIT", "ROLLBACK"])
async def test_a_retry_waits_for_the_lost_transaction_that_is_still_running(lab: Bench, ending: str) -> None:
    """The stand-in for a lost attempt holds the key uncommitted until the retry is seen waiting for it."""
    async with lab.admin.connect() as lost:
        await lost.execute(text("INSERT INTO idempotency_keys (key) VALUES ('k')"))
        call = asyncio.create_task(policy()(lab.sessions, lambda session: apply(session, "late"), key="k"))
        await until_somebody_waits(lab)
        assert not call.done()
        await (lost.commit() if ending == "COMMIT" else lost.rollback())
        expected = AlreadyApplied("k") if ending == "COMMIT" else "late"
        assert await asyncio.wait_for(call, 5) == expected
    assert await lab.effects("late") == (0 if ending == "COMMIT" else 1)


async def until_somebody_waits(lab: Bench) -> None:
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    async with lab.admin.connect() as connection:
        for _ in range(500):
            if await connection.scalar(waiting):
                return
            await asyncio.sleep(0.01)
    raise TimeoutError("nobody waited for a lock within 5 s")


async def test_doubt_is_settled_once_the_key_is_ours(lab: Bench, forwarder: Forwarder) -> None:
    calls = itertools.count()

    async def work(session: AsyncSession) -> None:
        if next(calls) > 0:
            await fail(session, "23514")

    forwarder.arm(b"COMMIT", Loss.REQUEST)
    with pytest.raises(IntegrityError):
        await policy()(lab.sessions, work, key="k")


async def test_doubt_that_outlasts_the_attempts_is_unknown(lab: Bench, forwarder: Forwarder) -> None:
    forwarder.arm(b"COMMIT", Loss.REQUEST, times=3)
    with pytest.raises(OutcomeUnknown) as caught:
        await policy(attempts=3)(lab.sessions, lambda session: apply(session, "x"), key="k")
    assert caught.value.attempts == 3


async def test_a_key_settles_a_commit_that_was_executed_but_never_answered(lab: Bench, forwarder: Forwarder) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, command_timeout=0.3)
    forwarder.arm(b"COMMIT", Loss.SILENT_ACK)
    try:
        said = await policy()(session_factory(engine), lambda session: apply(session, "mute"), key="k")
    finally:
        await engine.dispose()
    assert said == AlreadyApplied("k")
    assert await lab.effects("mute") == 1


async def test_the_key_travels_in_the_transaction_of_the_work(lab: Bench) -> None:
    async def work(session: AsyncSession) -> int:
        return len((await session.scalars(select(IdempotencyKey))).all())

    assert await policy()(lab.sessions, work, key="k") == 1
