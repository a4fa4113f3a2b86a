"""The clients of a run: who is held before COMMIT, and how they end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, cast

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab import clients as clients_module
from lab.checks import answers, exactly_once
from lab.clients import Clients
from lab.errors import Unhealthy
from lab.history import Final, History, Json, Outcome
from lab.journal import JournalWriter, Run
from lab.observer import Nobody
from lab.recorder import Recorder
from lab.retry import Sessions, Work
from lab.scenario import Scenario
from lab.verdict import Check, Verdict
from lab.workloads.base import Perform, Request, State, Turn


class NoSession:
    """A session of no database."""

    async def flush(self) -> None:
        """Do nothing."""


@dataclass
class Notes:
    """A workload that only writes, and notes what has passed its COMMIT."""

    name: str = "notes"
    about: str = "notes"
    checks: tuple[Check, ...] = ()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Need nothing."""

    def next(self, random: Random, turn: Turn) -> Request:  # noqa: ARG002 - the protocol's
        """Ask for a write."""
        return Request("write", random.random(), _perform, writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:  # noqa: ARG002
        """Find nothing."""
        return State(None, {})


def _perform(_unit: str) -> Perform:
    async def perform(_session: AsyncSession) -> Json:
        return None

    return perform


async def commit(sessions: Sessions, work: Work[Any], *, key: str | None = None) -> Any:
    """Do the work."""
    return await work(cast("AsyncSession", NoSession()))


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[Recorder]:
    with JournalWriter(tmp_path / "journal.jsonl") as writer:
        made = Recorder(writer)
        made.record(Run("notes", "none", 7, "commit", "now", {"steps": []}, {}))
        yield made


def start(recorder: Recorder, policy: Any = commit, count: int = 1) -> Clients:
    scenario = Scenario("notes", "", Notes(), policy, (), clients=count, think=0.0)
    made = Clients(scenario, cast("AsyncEngine", None), recorder, 7, Nobody())
    made.start()
    return made


def outcomes(history: History) -> list[Outcome]:
    return [operation.outcome for operation in history.operations]


async def test_a_commit_is_held_until_its_fault_is_armed(recorder: Recorder) -> None:
    clients = start(recorder)
    async with asyncio.timeout(5):
        with clients.gates_before_commits([3]):
            async with clients.held_before_commit(3):
                held = clients.completed
                await asyncio.sleep(0.02)
                assert clients.completed == held
            await clients.operations_done(held + 1)
        await clients.stop(1.0)


async def test_not_even_the_first_commit_slips_by_before_somebody_waits_for_it(recorder: Recorder) -> None:
    clients = start(recorder, count=8)
    async with asyncio.timeout(5):
        await clients.operations_done(20)
        with clients.gates_before_commits([1]):
            await asyncio.sleep(0.02)  # the injector's task gets its turn late
            async with clients.held_before_commit(1):
                pass
        await clients.stop(1.0)


async def test_two_faults_before_one_commit_are_both_armed_before_it_goes_on(recorder: Recorder) -> None:
    clients = start(recorder)
    async with asyncio.timeout(5):
        with clients.gates_before_commits([2, 2]):
            async with clients.held_before_commit(2):
                async with clients.held_before_commit(2):
                    held = clients.completed
                await asyncio.sleep(0.02)
                assert clients.completed == held
            await clients.operations_done(held + 1)
        await clients.stop(1.0)


async def test_nobody_is_held_once_the_plan_has_ended_whatever_became_of_it(recorder: Recorder) -> None:
    clients = start(recorder)
    async with asyncio.timeout(5):
        with clients.gates_before_commits([1]):
            await asyncio.sleep(0.02)
        await clients.operations_done(clients.completed + 1)
        await clients.stop(1.0)


async def test_an_operation_that_the_end_cuts_short_is_unknown_and_leaves_its_time_in_doubt(recorder: Recorder) -> None:
    async def hangs(sessions: Sessions, work: Work[Any], *, key: str | None = None) -> Any:
        await asyncio.sleep(60)

    clients = start(recorder, hangs)
    await asyncio.sleep(0.02)
    await clients.stop(0.05)

    history = replaced(recorder.history())
    assert outcomes(history) == [Outcome.INFO]
    assert history.operations[0].errors == ("given up",)
    assert answers(within=10.0)(history).verdict is Verdict.INCONCLUSIVE
    assert answers(within=0.01)(history).verdict is Verdict.FAIL
    assert exactly_once()(history).verdict is Verdict.INCONCLUSIVE


def replaced(history: History) -> History:
    """Return the history with a final read that found nothing."""
    return History(history.operations, final=Final(None, {}, 0, 0))


async def test_a_policy_that_takes_one_cancellation_for_an_error_is_cancelled_again(recorder: Recorder) -> None:
    async def deaf_once(sessions: Sessions, work: Work[Any], *, key: str | None = None) -> Any:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    clients = start(recorder, deaf_once)
    await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        await clients.stop(0.05)

    assert outcomes(recorder.history()) == [Outcome.INFO]


async def test_a_policy_that_cannot_be_cancelled_does_not_hang_the_run(
    recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clients_module, "LETTING_GO", 0.1)
    released = asyncio.Event()

    async def deaf(sessions: Sessions, work: Work[Any], *, key: str | None = None) -> Any:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    clients = start(recorder, deaf)
    await asyncio.sleep(0.02)
    async with asyncio.timeout(10):
        with pytest.raises(Unhealthy, match="do not let themselves be cancelled"):
            await clients.stop(0.05)
    released.set()
    await clients.stop(1.0)
