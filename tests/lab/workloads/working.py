"""Clients that work without faults, for the tests of workloads."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from random import Random
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.db.engine import session_factory
from lab.history import REFUSED, Final, History, Operation, Outcome
from lab.retry import Backoff, RetryPolicy
from lab.verdict import Finding, Verdict
from lab.workloads.base import Refused, Request, Turn, Workload

POLICY = RetryPolicy(attempts=200, deadline=20.0, backoff=Backoff(0.001, 0.05))

Sessions = async_sessionmaker[AsyncSession]


def requests(workload: Workload, seed: int, count: int, client: int = 0) -> list[Request]:
    """Return what a client asks for in its first *count* turns."""
    random = Random(seed)
    return [workload.next(random, Turn(client, number)) for number in range(count)]


def request_for(workload: Workload, kind: str, value: Any = None, client: int = 0) -> Request:
    """Return the first request of a *kind*, or for a *value*, that *client* draws in its first turn."""
    drawn: Iterator[Request] = (requests(workload, seed, 1, client)[0] for seed in range(10_000))
    return next(r for r in drawn if r.kind == kind and (value is None or r.value == value))


async def carry_out(sessions: Sessions, request: Request, unit: str = "u0") -> Any:
    """Run one request in a transaction, without any retry."""
    async with sessions() as session, session.begin():
        return await request.perform(unit)(session)


async def work(engine: AsyncEngine, workload: Workload, *, clients: int = 4, turns: int = 25) -> History:
    """Let *clients* work at the same time on fresh tables, each for so many *turns*, and return what happened."""
    await workload.set_up(engine)
    clock, indexes = itertools.count(), itertools.count()
    sessions = session_factory(engine)

    async def client(number: int) -> list[Operation]:
        told = []
        for request in requests(workload, number, turns, number):
            index, invoked = next(indexes), float(next(clock))
            unit = f"u{index}" if request.writes else None
            outcome, result = await ask(sessions, request, unit)
            ended = float(next(clock))
            errors = (REFUSED,) if outcome is Outcome.FAIL else ()
            told.append(
                Operation(index, number, request.kind, request.value, outcome, invoked, ended, result, unit, 1, errors)
            )
        return told

    parts = await asyncio.gather(*(client(number) for number in range(clients)))
    operations = sorted((o for part in parts for o in part), key=lambda operation: operation.index)
    return await with_final(engine, workload, History(tuple(operations)))


async def with_final(engine: AsyncEngine, workload: Workload, history: History) -> History:
    """Return the history with what the database holds now."""
    state = await workload.read_back(session_factory(engine))
    return History(history.operations, final=Final(state.state, state.effects, 0, 0))


async def ask(sessions: Sessions, request: Request, unit: str | None) -> tuple[Outcome, Any]:
    """Run one request by the right policy and return how it ended, and its answer."""
    try:
        return Outcome.OK, await POLICY(sessions, request.perform(unit or ""), key=unit)
    except Refused:
        return Outcome.FAIL, None


def done(*answered: tuple[Request, Any]) -> History:
    """Return the history of requests that were done with these answers, each by its own client, all at once."""
    return History(
        tuple(
            Operation(i, i, r.kind, r.value, Outcome.OK, 0.0, 1.0, answer, f"u{i}" if r.writes else None)
            for i, (r, answer) in enumerate(answered)
        )
    )


def judged(workload: Workload, history: History) -> list[Finding]:
    """Return what the checks of *workload* find."""
    return [check(history) for check in workload.checks]


def failing(workload: Workload, history: History) -> set[str]:
    """Return the names of the checks of *workload* that fail."""
    return {finding.check for finding in judged(workload, history) if finding.verdict is Verdict.FAIL}
