"""Runs a scenario on a cluster: strike, always heal, verify health, then check."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.pool import QueuePool

from faults.errors import FaultError
from faults.plan import Plan
from lab.cleanup import to_its_end, together
from lab.clients import Clients
from lab.clusters.base import Capability, Cluster, HoldsLeases, require
from lab.conducting import Conductor, Live
from lab.db.dialects import open_transactions
from lab.db.engine import resilient_engine
from lab.errors import Unhealthy
from lab.gauges import pool_gauged
from lab.history import Final, History, Json
from lab.injector import Injector
from lab.journal import Closed, Ended, Journal, JournalWriter, Judged, Phase, Run
from lab.observer import Nobody, Observer
from lab.recorder import Recorder
from lab.retry import Decision, classify
from lab.retry import Phase as RetryPhase
from lab.scenario import Scenario
from lab.verdict import Finding, Verdict, merge
from lab.versions import versions

WARM_UP = 30.0
"""Seconds that all clients together have to be served for the first time."""

LAB_TRIES = 5
"""Times that the lab tries to set up and to read back: a cluster that has just healed may fail a transaction."""

LAB_PAUSE = 0.3
"""Seconds between them."""

QUIET = 2.0
"""Seconds that the server has to notice that the last sessions are gone."""

APPLICATION = "app"
"""application_name of the sessions under test, before the number of the connection."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Result:
    """What a scenario showed: its verdict, why, and the history that it was judged by. *seconds* is the whole run.

    *recorded* is all that its journal holds.
    """

    scenario: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    history: History
    plan: Plan
    seconds: float
    journal: Path
    workload: str = ""
    recorded: Journal | None = None


async def run_scenario(
    scenario: Scenario,
    cluster: Cluster,
    *,
    seed: int,
    journal: Path,
    plan: Plan | None = None,
    observer: Observer | None = None,
    conductor: Conductor | None = None,
    watch: Callable[[Recorder], None] | None = None,
    asked: tuple[str, ...] = (),
) -> Result:
    """Run a scenario on a started cluster, with *plan* in place of its own if one is given.

    With a *conductor* the plan is carried out by it: it strikes and heals while the clients work, until it returns.
    What it judges itself, it records, and that counts, too. *watch* is given the recorder of the run before it begins,
    to look at it as it goes on. *asked* are the words that chose the cluster, for the journal.

    Raises NotCapable before anything is touched if the cluster lacks a capability, faults.errors.MalformedPlan for a
    plan that names unknown nodes, EnvironmentProblem if the journal cannot be written. However it ends, the cluster is
    healed.
    """
    resolved = (plan or Plan(scenario.plan, seed)).resolve([node.name for node in cluster.nodes])
    require(cluster, scenario.needs, f"scenario '{scenario.name}'")
    with JournalWriter(journal) as writer:
        run = _Run(scenario, cluster, resolved, seed, Recorder(writer), observer or Nobody(), conductor, asked)
        if watch is not None:
            watch(run.recorder)
        await run.carry_out()
        findings = run.recorder.assembler.so_far().findings  # those of a conductor as well
        verdict = merge(finding.verdict for finding in findings)
        seconds = run.recorder.now()
        run.recorder.record(Closed(verdict, seconds))
    recorded = run.recorder.assembler.journal()
    workload = scenario.workload.name
    return Result(scenario.name, verdict, findings, recorded.history, resolved, seconds, journal, workload, recorded)


class _Run:
    def __init__(
        self,
        scenario: Scenario,
        cluster: Cluster,
        plan: Plan,
        seed: int,
        recorder: Recorder,
        observer: Observer,
        conductor: Conductor | None,
        asked: tuple[str, ...],
    ) -> None:
        self._asked = asked
        self.recorder = recorder
        self._conductor = conductor
        self._scenario = scenario
        self._cluster = cluster
        self._plan = plan
        self._seed = seed
        self._observer = observer

    def history(self) -> History:
        return self.recorder.history()

    async def carry_out(self) -> None:
        self.recorder.record(self._header())
        try:
            await self._strike_and_heal()
        except Unhealthy as error:
            self.recorder.record(Judged(Finding("healthy", Verdict.INCONCLUSIVE, str(error))))
            return
        self._judge()

    async def _strike_and_heal(self) -> None:
        try:
            await self._prepare()
            await self._strike()
        except Unhealthy:
            await to_its_end(self._heal())  # what keeps the cluster from healing explains more
            raise
        except BaseException:
            with contextlib.suppress(Unhealthy):  # the first trouble is the news, and a cancellation must not be lost
                await to_its_end(self._heal())
            raise
        await to_its_end(self._heal())

    def _header(self) -> Run:
        scenario = self._scenario
        return Run(
            scenario=scenario.name,
            cluster=f"{self._cluster.name}: {self._cluster.about}",
            seed=self._seed,
            policy=scenario.policy_name,
            started=datetime.datetime.now(datetime.UTC).isoformat(),
            plan=cast("dict[str, Json]", self._plan.to_json()),
            versions=versions(),
            asked=self._asked,
            workload=scenario.workload.name,
            isolation=scenario.engine.isolation_level,
        )

    async def _prepare(self) -> None:
        self._enter("setting up")
        await self._cluster.heal(self._cluster.heals_within)
        await self._cluster.healthy(self._cluster.heals_within)
        await self._as_the_lab(self._scenario.workload.set_up)
        await self._spread()

    async def _spread(self) -> None:
        """Wait until the data is on every node, if nodes are going to be hurt and the cluster spreads it by itself."""
        cluster = self._cluster
        if self._scenario.hurts_nodes and Capability.LEASES in cluster.capabilities:
            self._enter("waiting for replicas")
            await cast("HoldsLeases", cluster).replicated(cluster.heals_within)

    async def _strike(self) -> None:
        engine = resilient_engine(
            self._cluster.target,
            application_name=APPLICATION,
            pool_size=self._scenario.clients,
            **self._scenario.engine.arguments(),
        )
        try:
            pool = cast("QueuePool", engine.pool)
            clients = Clients(self._scenario, engine, self.recorder, self._seed, self._observer)
            async with pool_gauged(pool, self.recorder):
                try:
                    await self._drive(clients, engine)
                finally:
                    await to_its_end(clients.stop(self._scenario.drain))
            checked_out = pool.checkedout()
        finally:
            await to_its_end(engine.dispose())
        self._enter("reading back")
        await self._read_back(checked_out)

    async def _drive(self, clients: Clients, engine: AsyncEngine) -> None:
        self._enter("warming up")
        clients.start()
        try:
            async with asyncio.timeout(WARM_UP):
                await clients.all_served_since(0.0)
        except TimeoutError as error:
            raise Unhealthy(f"not every client was served within {WARM_UP:g} s of a healthy cluster") from error
        self._enter("striking")
        await self._carry_out_plan(Live(self._cluster, clients, engine, self.recorder, self._observer))
        healed = self.recorder.now()
        self._enter("recovering")
        await self._heal()
        await self._cluster.healthy(self._cluster.heals_within)
        if not self._plan.steps and self._conductor is None:
            return
        with contextlib.suppress(TimeoutError):  # the checks will say who was not served
            async with asyncio.timeout(self._scenario.settle):
                await clients.all_served_since(healed)

    async def _conduct(self, live: Live) -> None:
        if self._conductor is not None:
            await self._conductor(live)
            return
        await Injector(live.cluster, self._plan, live.clients, live.recorder, live.observer).run()

    async def _carry_out_plan(self, live: Live) -> None:
        patience = asyncio.timeout(self._scenario.patience)
        try:
            async with patience, together() as both:
                both.create_task(self._conduct(live))
                both.create_task(asyncio.sleep(self._scenario.seconds))
        except (FaultError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if not patience.expired():  # else: steps that are missing then have no evidence
                raise Unhealthy(f"the plan could not be carried out: {_in_words(error)}") from error

    async def _read_back(self, checked_out: int) -> None:
        open_sessions = await self._as_the_lab(_sessions_left)
        state = await self._as_the_lab(lambda engine: self._scenario.workload.read_back(async_sessionmaker(engine)))
        self.recorder.record(Ended(Final(state.state, state.effects, checked_out, open_sessions)))

    async def _as_the_lab(self, work: Callable[[AsyncEngine], Awaitable[T]]) -> T:
        """Do what may be done again, around the proxies; raise Unhealthy if the database does not let us."""
        engine = resilient_engine(self._cluster.direct, application_name="lab-direct", pool_size=1)
        try:
            for attempt in range(1, LAB_TRIES + 1):
                try:
                    return await work(engine)
                except (SQLAlchemyError, OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    if attempt == LAB_TRIES or classify(error, RetryPhase.STATEMENT) is Decision.NEVER:
                        raise Unhealthy(f"the database does not answer the lab itself: {_in_words(error)}") from error
                    await asyncio.sleep(LAB_PAUSE)
            raise AssertionError
        finally:
            await engine.dispose()

    def _judge(self) -> None:
        self._enter("checking")
        history = self.history()
        for finding in [check(history) for check in self._scenario.checks]:
            self.recorder.record(Judged(finding))

    async def _heal(self) -> None:
        await self._cluster.heal(self._cluster.heals_within)

    def _enter(self, phase: str) -> None:
        self.recorder.record(Phase(phase, self.recorder.now()))
        self._observer.phase(phase)


def _in_words(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


async def _sessions_left(engine: AsyncEngine) -> int:
    """Count application sessions in an open transaction, once they have had time to end."""
    deadline = time.monotonic() + QUIET
    while True:  # each look is bounded by the engine
        count = await open_transactions(engine, f"{APPLICATION}-")
        if not count or time.monotonic() > deadline:
            return count
        await asyncio.sleep(QUIET / 20)
