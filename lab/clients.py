"""The application under test: clients that run the workload through the policy and record what they were told."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.errors import Unhealthy
from lab.history import GIVEN_UP, REFUSED, Json, Outcome
from lab.journal import Completed, Invoked
from lab.observer import Observer
from lab.recorder import Recorder
from lab.retry import AlreadyApplied, Backoff, Observation, OutcomeUnknown, Policy, RetryPolicy, sqlstate
from lab.scenario import Scenario
from lab.workloads.base import Perform, Refused, Request, Turn

MOST_ERRORS = 50
"""Failed attempts of one operation that are told one by one."""

LETTING_GO = 5.0
"""Seconds that operations have to end once they were cancelled; cleaning up is part of it."""


READING = RetryPolicy(
    attempts=200, backoff=Backoff(0.01, 0.3), later=Backoff(0.05, 0.5), repeatable=True, judgements=200
)
"""How reads are retried, whatever policy is under test: they are the lab's own observations, and do no harm."""


class CountedSessions(async_sessionmaker[AsyncSession]):
    """Sessions of an engine that count how many were begun: an attempt each."""

    def __init__(self, engine: AsyncEngine) -> None:
        super().__init__(engine, expire_on_commit=False)
        self.begun = 0

    def __call__(self, **local: Any) -> AsyncSession:
        """Return a new session."""
        self.begun += 1
        return super().__call__(**local)


@dataclass(slots=True)
class _Client:
    """One client: its own random numbers, sessions and policy, so that none of it depends on the others' timing."""

    number: int
    random: Random
    sessions: CountedSessions
    policy: Policy
    reading: Policy
    errors: list[str] = field(default_factory=list)
    turns: int = 0

    def turn(self) -> Turn:
        self.turns += 1
        return Turn(self.number, self.turns - 1)

    def observe(self, observation: Observation) -> None:
        if len(self.errors) < MOST_ERRORS:
            self.errors.append(_label(observation))


class _Gate:
    """A transaction that is about to COMMIT waits here until all *faults* that strike at this place are armed."""

    def __init__(self, faults: int) -> None:
        self.faults = faults
        self.reached = asyncio.Event()
        self.open = asyncio.Event()

    def armed(self) -> None:
        self.faults -= 1
        if self.faults <= 0:
            self.open.set()


class Clients:
    """All clients of a run. Start them, wait for what they have done, stop them."""

    def __init__(
        self, scenario: Scenario, engine: AsyncEngine, recorder: Recorder, seed: int, observer: Observer
    ) -> None:
        self._scenario = scenario
        self._recorder = recorder
        self._observer = observer
        self._indexes = itertools.count()
        self._stopping = False
        self._clients = [self._make(number, engine, seed) for number in range(scenario.clients)]
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self._served: dict[int, float] = {}
        self._commits = 0
        self._gates: dict[int, _Gate] = {}
        self.completed = 0

    def _make(self, number: int, engine: AsyncEngine, seed: int) -> _Client:
        policy = self._scenario.policy
        client = _Client(number, Random(f"{seed}/client/{number}"), CountedSessions(engine), policy, policy)
        client.policy = _tuned(policy, client, seed)
        client.reading = _tuned(replace(READING, deadline=self._scenario.read_deadline), client, seed)
        return client

    @contextlib.contextmanager
    def gates_before_commits(self, numbers: Iterable[int]) -> Iterator[None]:
        """Count commits from now on, the next write being the first, and hold up those of *numbers* for their faults.

        A number that stands there twice waits for two. When the block is left, nobody is held any more.
        """
        gates = self._gates = {number: _Gate(faults) for number, faults in Counter(numbers).items()}
        self._commits = 0
        try:
            yield
        finally:
            self._gates = {}
            for gate in gates.values():
                gate.open.set()

    @contextlib.asynccontextmanager
    async def held_before_commit(self, number: int) -> AsyncIterator[None]:
        """Wait until the *number*-th write is about to COMMIT; it goes on when all who hold it have left the block."""
        gate = self._gates[number]
        try:
            await gate.reached.wait()
            yield
        finally:
            gate.armed()

    def start(self) -> None:
        """Set all clients to work."""
        self._tasks = [asyncio.create_task(self._work(client)) for client in self._clients]

    async def stop(self, within: float) -> None:
        """Let running operations end; those that take longer than *within* seconds are cancelled: unknown.

        Raises Unhealthy if one does not even let itself be cancelled.
        """
        self._stopping = True
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=within)
        deadline = asyncio.get_running_loop().time() + LETTING_GO
        while late and asyncio.get_running_loop().time() < deadline:
            for task in late:
                task.cancel()
            _, late = await asyncio.wait(late, timeout=LETTING_GO / 4)  # again: a policy may take it for an error
        failed = [error for task in self._tasks if task.done() and not task.cancelled() and (error := task.exception())]
        if failed:
            raise failed[0]
        if late:
            raise Unhealthy(f"{len(late)} clients do not let themselves be cancelled: does the policy swallow that?")

    async def all_served_since(self, moment: float) -> None:
        """Return once every client has had an ok answer at or after *moment* (seconds since the start)."""
        await self._until(lambda: len(self._served) == len(self._clients) and min(self._served.values()) >= moment)

    async def operations_done(self, count: int) -> None:
        """Return once so many operations have ended."""
        await self._until(lambda: self.completed >= count)

    async def _until(self, reached: Callable[[], bool]) -> None:
        async with self._changed:
            while not reached():
                self._check_alive()
                await self._changed.wait()

    def _check_alive(self) -> None:
        for task in self._tasks:
            if task.done() and not task.cancelled() and (error := task.exception()):
                raise error

    async def _work(self, client: _Client) -> None:
        try:
            while not self._stopping:
                await asyncio.sleep(client.random.uniform(0, 2 * self._scenario.think))
                await self._operate(client, self._scenario.workload.next(client.random, client.turn()))
        finally:
            async with self._changed:
                self._changed.notify_all()

    async def _operate(self, client: _Client, request: Request) -> None:
        index = next(self._indexes)
        unit = f"u{index}" if request.writes else None
        began = self._recorder.now()
        self._recorder.record(Invoked(index, client.number, request.kind, request.value, began, unit))
        client.errors, client.sessions.begun = [], 0
        outcome, result = Outcome.INFO, None
        try:
            outcome, result = await self._ask(client, request, unit)
        except asyncio.CancelledError:
            client.errors.append(GIVEN_UP)
            raise
        finally:
            ended = self._recorder.now()
            attempts, errors = client.sessions.begun, tuple(client.errors)
            self._recorder.record(Completed(index, outcome, ended, result, attempts, errors))
            self._observer.completed(outcome)
        await self._note(client, outcome, ended)

    async def _ask(self, client: _Client, request: Request, unit: str | None) -> tuple[Outcome, Json]:
        perform = request.perform(unit or "")
        if request.writes:
            perform = self._with_gate(perform)
        policy = client.policy if request.writes else client.reading
        try:
            answer = await policy(client.sessions, perform, key=unit)
        except OutcomeUnknown:
            return Outcome.INFO, None
        except Refused:
            client.errors.append(REFUSED)
            return Outcome.FAIL, None
        except Exception as error:
            if not client.errors:
                client.errors.append(f"{sqlstate(error) or type(error).__name__} at the end")
            return Outcome.FAIL, None
        return Outcome.OK, "already applied" if isinstance(answer, AlreadyApplied) else answer

    def _with_gate(self, perform: Perform) -> Perform:
        async def perform_up_to_commit(session: AsyncSession) -> Json:
            answer = await perform(session)
            await session.flush()
            self._commits += 1
            gate = self._gates.get(self._commits)
            if gate is not None:
                gate.reached.set()
                await gate.open.wait()
            return answer

        return perform_up_to_commit

    async def _note(self, client: _Client, outcome: Outcome, ended: float) -> None:
        async with self._changed:
            self.completed += 1
            if outcome is Outcome.OK or client.errors[-1:] == [REFUSED]:
                self._served[client.number] = ended
            self._changed.notify_all()


def _tuned(policy: Policy, client: _Client, seed: int) -> Policy:
    if not isinstance(policy, RetryPolicy):
        return policy
    return replace(policy, random=Random(f"{seed}/policy/{client.number}"), observe=client.observe)


def _label(observation: Observation) -> str:
    error = observation.error
    return f"{sqlstate(error) or type(error).__name__} at {observation.phase.name}"
