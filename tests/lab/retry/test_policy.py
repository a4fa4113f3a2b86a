"""The right policy against a real PostgreSQL, with both drivers: what it retries and what it never does."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from random import Random

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession

from lab.db import Address, Target, resilient_engine, session_factory
from lab.retry import Backoff, Decision, Observation, Phase
from lab.retry import sqlstate as state_of
from tests.lab.retry.bench import QUICK, Bench, Counter, apply, fail, fail_at_commit
from tests.lab.retry.bench import quick_policy as policy


async def test_a_unit_is_applied_and_answers_what_the_work_returned(lab: Bench) -> None:
    assert await policy()(lab.sessions, lambda session: apply(session, "a")) == "a"
    assert await lab.effects("a") == 1


async def test_forty_concurrent_increments_give_exactly_forty(lab: Bench) -> None:
    async with lab.sessions() as session, session.begin():
        session.add(Counter(name="hot", value=0))
    run = policy(attempts=60, deadline=30.0)
    await asyncio.gather(*(run(lab.sessions, increment) for _ in range(40)))
    assert await lab.value("hot") == 40


async def increment(session: AsyncSession) -> None:
    value = await session.scalar(select(Counter.value).where(Counter.name == "hot"))
    counter = await session.get_one(Counter, "hot")
    counter.value = (value or 0) + 1


@pytest.mark.parametrize("state", ["40001", "40P01"])
@pytest.mark.parametrize("where", [fail, fail_at_commit])
async def test_a_serialization_failure_is_retried_with_a_fresh_session(lab: Bench, state: str, where: object) -> None:
    seen: list[AsyncSession] = []

    async def work(session: AsyncSession) -> None:
        seen.append(session)
        await apply(session, "s")
        if len(seen) < 3:
            await (fail if where is fail else fail_at_commit)(session, state)

    await policy()(lab.sessions, work)
    assert len(set(map(id, seen))) == 3
    assert await lab.effects("s") == 1


@pytest.mark.parametrize("state", ["23505", "42601", "55000", "25P02", "22012"])
async def test_a_permanent_error_is_raised_at_once_with_a_note(lab: Bench, state: str) -> None:
    calls = itertools.count()

    async def work(session: AsyncSession) -> None:
        next(calls)
        await fail(session, state)

    with pytest.raises(DBAPIError) as caught:
        await policy()(lab.sessions, work)
    assert state_of(caught.value) == state
    assert "given up after 1 attempt(s)" in "".join(caught.value.__notes__)
    assert next(calls) == 1


async def test_attempts_are_bounded_and_every_failure_is_observed(lab: Bench) -> None:
    seen: list[Observation] = []
    with pytest.raises(DBAPIError):
        await policy(attempts=4, observe=seen.append)(lab.sessions, lambda session: fail(session, "40001"))
    assert [item.attempt for item in seen] == [1, 2, 3, 4]
    assert {item.decision for item in seen} == {Decision.RETRY}
    assert {item.phase for item in seen} == {Phase.STATEMENT}
    assert [item.wait is None for item in seen] == [False, False, False, True]


async def test_judgement_has_a_budget_of_its_own(lab: Bench) -> None:
    seen: list[Observation] = []
    with pytest.raises(DBAPIError):
        await policy(judgements=2, observe=seen.append)(lab.sessions, lambda session: fail(session, "55P03"))
    assert len(seen) == 3


async def test_the_same_seed_draws_the_same_waits(lab: Bench) -> None:
    async def waits(seed: int) -> list[float]:
        drawn: list[float] = []

        async def sleep(seconds: float) -> None:
            drawn.append(seconds)

        with pytest.raises(DBAPIError):
            await policy(attempts=5, random=Random(seed), sleep=sleep)(lab.sessions, lambda s: fail(s, "40001"))
        return drawn

    assert await waits(3) == await waits(3) != await waits(4)


async def test_a_connection_lost_in_mid_transaction_is_retried(lab: Bench) -> None:
    calls = itertools.count()

    async def work(session: AsyncSession) -> None:
        await apply(session, "cut")
        if next(calls) == 0:
            await lab.terminate("app-%")
            await session.execute(text("SELECT 1"))

    await policy()(lab.sessions, work)
    assert await lab.effects("cut") == 1


async def test_refused_connections_are_waited_for_longer(lab: Bench) -> None:
    drawn: list[float] = []

    async def sleep(seconds: float) -> None:
        drawn.append(seconds)

    engine = resilient_engine(closed_port(lab), driver=lab.driver)
    later = Backoff(first=4.0, longest=8.0)
    with pytest.raises((ConnectionRefusedError, DBAPIError)):
        await policy(attempts=3, later=later, sleep=sleep)(session_factory(engine), lambda s: apply(s, "x"))
    await engine.dispose()
    assert len(drawn) == 2
    assert max(drawn) > QUICK.longest


def closed_port(lab: Bench) -> Target:
    return replace(lab.target, addresses=(Address("127.0.0.1", 1),))


async def test_an_exhausted_pool_is_not_retried(lab: Bench) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, pool_size=1, pool_timeout=0.1)
    seen: list[Observation] = []
    async with engine.connect() as _:
        with pytest.raises(PoolTimeout):
            await policy(observe=seen.append)(session_factory(engine), lambda session: apply(session, "x"))
    await engine.dispose()
    assert [(item.phase, item.decision) for item in seen] == [(Phase.CONNECT, Decision.NEVER)]


async def test_an_error_of_the_application_is_its_own(lab: Bench) -> None:
    async def work(session: AsyncSession) -> None:
        await apply(session, "app")
        raise ValueError("not enough money")

    with pytest.raises(ValueError, match="not enough money"):
        await policy()(lab.sessions, work, key="k")
    assert await lab.effects("app") == 0
    assert not await lab.keys()
