"""Deadlines, black holes and cancellation: the policy ends when it must and leaves nothing behind."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lab.db import resilient_engine, session_factory
from lab.retry import DeadlinePassed, Decision, Observation, OutcomeUnknown, Phase
from tests.lab.db.forwarder import Forwarder, Loss
from tests.lab.retry.bench import Bench, apply, checked_out
from tests.lab.retry.bench import quick_policy as policy


@pytest.mark.parametrize("moment", [b"pg_sleep", b"COMMIT"])
@pytest.mark.parametrize("key", [None, "k"])
async def test_the_deadline_holds_in_a_black_hole(
    lab: Bench, forwarder: Forwarder, moment: bytes, key: str | None
) -> None:
    async def work(session: AsyncSession) -> None:
        await apply(session, "hole")
        await session.execute(text("SELECT pg_sleep(0)"))

    await policy()(lab.sessions, lambda session: apply(session, "warm"))
    forwarder.arm(moment, Loss.SILENT_REQUEST)
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed if moment == b"pg_sleep" else OutcomeUnknown):
        await policy(deadline=0.5)(lab.sessions, work, key=key)
    assert forwarder.fired == 1
    assert asyncio.get_running_loop().time() - started < 0.8
    assert checked_out(lab) == 0


async def test_the_deadline_holds_for_work_that_waits_elsewhere(lab: Bench) -> None:
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed):
        await policy(deadline=0.2)(lab.sessions, lambda _: asyncio.Event().wait())
    assert asyncio.get_running_loop().time() - started < 0.5
    assert checked_out(lab) == 0


async def test_the_deadline_holds_while_the_pool_pings_into_a_black_hole(lab: Bench, forwarder: Forwarder) -> None:
    await policy()(lab.sessions, lambda session: apply(session, "warm"))
    forwarder.arm(b"", Loss.SILENT_REQUEST, times=1000)
    started = asyncio.get_running_loop().time()
    with pytest.raises(DeadlinePassed):
        await policy(deadline=0.5)(lab.sessions, lambda session: apply(session, "ping"))
    assert asyncio.get_running_loop().time() - started < 1.0


async def test_a_command_timeout_is_retried_with_another_connection(lab: Bench, forwarder: Forwarder) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, command_timeout=0.3)
    seen: list[Observation] = []
    forwarder.arm(b"INSERT", Loss.SILENT_REQUEST)
    try:
        await policy(observe=seen.append)(session_factory(engine), lambda session: apply(session, "slow"))
    finally:
        await engine.dispose()
    assert [(item.phase, item.decision) for item in seen] == [(Phase.STATEMENT, Decision.RETRY)]
    assert await lab.effects("slow") == 1


async def test_a_second_cancellation_does_not_wait_for_the_clean_up(lab: Bench, forwarder: Forwarder) -> None:
    entered = asyncio.Event()

    async def work(session: AsyncSession) -> None:
        await apply(session, "twice cancelled")
        forwarder.arm(b"ROLLBACK", Loss.SILENT_REQUEST)
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(policy(cleanup=0.3)(lab.sessions, work))
    await entered.wait()
    task.cancel()
    for _ in range(100):
        if forwarder.fired:
            break
        await asyncio.sleep(0.01)
    task.cancel()
    started = asyncio.get_running_loop().time()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() - started < 0.1
    for _ in range(100):
        if checked_out(lab) == 0:
            break
        await asyncio.sleep(0.01)
    assert checked_out(lab) == 0


@pytest.mark.parametrize("options", [{"attempts": 0}, {"deadline": 0.0}, {"cleanup": -1.0}])
def test_a_policy_without_bounds_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="a policy needs"):
        policy(**options)


async def test_cancellation_passes_through_at_once_and_leaves_nothing_behind(lab: Bench) -> None:
    calls: list[object] = []
    entered = asyncio.Event()

    async def work(session: AsyncSession) -> None:
        calls.append(session)
        await apply(session, "cancelled")
        entered.set()
        await session.execute(text("SELECT pg_sleep(3)"))

    task = asyncio.create_task(policy()(lab.sessions, work, key="k"))
    await entered.wait()
    started = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.get_running_loop().time() - started < 0.5
    assert len(calls) == 1
    assert checked_out(lab) == 0
    assert await lab.effects("cancelled") == 0
