"""Runs the cases on a cluster of their own: most of them side by side, for they spend their time waiting."""

from __future__ import annotations

import asyncio
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncEngine

from faults.client import FiringInfo
from lab.application import Application
from lab.cleanup import STOP, to_its_end, together
from lab.clusters import ClusterChoice
from lab.clusters.base import Capability, Cluster, CrashesServer
from lab.db import resilient_engine
from lab.errors import UsageError
from lab.suite import open_cluster
from lab.validate.bench import Bench, make_bench
from lab.validate.cases import CASES, CLEAN, Case
from lab.validate.facts import Facts, Said
from lab.validate.loading import Loaded
from lab.validate.place import Place, open_place
from lab.validate.scorecard import CaseResult, Scorecard, judged, left_out
from lab.validate.unit import Unit

DEADLINE = 20.0
"""Seconds in which a policy has to answer, whatever happens."""

SIDE_BY_SIDE = 10
"""Cases at a time."""

MOST_EVIDENCE = 10
"""Firings of a case that are reported one by one."""

RESTART_AFTER = 0.2
"""Seconds for which a crashed server stays down."""


TURN = 0.0005
"""Seconds after which a thread has to let others run: policies that spin are many, and the lab waits for each."""


@dataclass(frozen=True, slots=True)
class Lab:
    """What all cases share. *stuck* names those that left something behind which could not be ended."""

    cluster: Cluster
    admin: AsyncEngine
    policy: Loaded
    deadline: float
    ended: Callable[[CaseResult], None]
    stuck: list[str] = field(default_factory=list)


async def validate(
    policy: Loaded,
    *,
    cases: Sequence[Case] = CASES,
    cluster: str | ClusterChoice = "embedded",
    seed: int = 0,
    deadline: float = DEADLINE,
    ended: Callable[[CaseResult], None] = lambda _: None,
) -> Scorecard:
    """Judge *policy* and return its scorecard; *ended* hears of each case.

    Raises UsageError if the policy does not even get through the clean run, and what `lab.suite.run_suite` raises about
    clusters. Cancelled, it takes everything away first.
    """
    began = time.monotonic()
    async with AsyncExitStack() as stack:
        run, made = open_cluster(cluster, seed)
        stack.callback(run.remove, STOP)
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        await made.start(made.starts_within)
        results = await validate_on(made, policy, cases=cases, deadline=deadline, ended=ended)
        return Scorecard(policy.name, results, made.about, time.monotonic() - began)


async def validate_on(
    cluster: Cluster,
    policy: Loaded,
    *,
    cases: Sequence[Case] = CASES,
    deadline: float = DEADLINE,
    ended: Callable[[CaseResult], None] = lambda _: None,
    prefix: str = "c",
) -> tuple[CaseResult, ...]:
    """Judge *policy* on a cluster that runs; *prefix* keeps the places of several validations on it apart."""
    admin = resilient_engine(
        cluster.direct, application_name="lab-validate", isolation_level="AUTOCOMMIT", pool_size=SIDE_BY_SIDE + 2
    )
    async with AsyncExitStack() as stack:
        stack.push_async_callback(admin.dispose)
        lab = Lab(cluster, admin, policy, deadline, ended)
        stack.enter_context(_short_turns(lab))
        await _clean_run(lab, f"{prefix}0")
        crashes = Capability.SERVER_CRASH in cluster.capabilities
        chosen = [case for case in cases if case.suits(synchronous=policy.synchronous, crashes=crashes)]
        found: dict[str, CaseResult] = {}
        turn = asyncio.Semaphore(SIDE_BY_SIDE)

        async def one(number: int, case: Case) -> None:
            async with turn:
                found[case.name] = await _run(lab, case, f"{prefix}{number}")
                ended(found[case.name])

        numbered = list(enumerate(chosen, 1))
        async with together() as group:
            for number, case in sorted(numbered, key=lambda pair: not pair[1].long):
                if not case.alone:
                    group.create_task(one(number, case))
        for number, case in numbered:
            if case.alone:
                await one(number, case)
        return tuple(found[case.name] for case in chosen)


@contextmanager
def _short_turns(lab: Lab) -> Iterator[None]:
    usual = sys.getswitchinterval()
    sys.setswitchinterval(TURN)
    try:
        yield
    finally:
        if not lab.stuck:
            sys.setswitchinterval(usual)


async def _clean_run(lab: Lab, name: str) -> None:
    facts = await Trial(lab, CLEAN, name).run()
    unit = facts.unit
    if unit.said is not Said.DONE:
        how = f"raised {unit.error}" if unit.error else f"gave no answer within {lab.deadline:g} s"
        raise UsageError(f"'{lab.policy.name}' {how} on the clean run, where no fault strikes")
    if unit.effects != 1:
        times = "never" if unit.effects == 0 else f"{unit.effects} times"
        raise UsageError(
            f"'{lab.policy.name}' returned from the clean run, but its unit was applied {times}: does it call "
            "work(session) once and COMMIT?"
        )


async def _run(lab: Lab, case: Case, name: str) -> CaseResult:
    if lab.stuck:
        # What goes on there takes its share of the process, and the time of every case would be wrong.
        return left_out(case, f"not run: the policy could not be ended in '{lab.stuck[0]}', and still goes on")
    best = await Trial(lab, case, name).run()
    for again in range(1, case.runs):
        if case.judge(best)[0] == "pass" or best.unit.said is Said.NOTHING:
            break
        facts = await Trial(lab, case, f"{name}x{again}").run()
        best = facts if facts.lag < best.lag else best
    return judged(case, best)


@dataclass(slots=True)
class Trial:
    """One run of a case at a place called *name*."""

    lab: Lab
    case: Case
    name: str
    evidence: list[str] = field(default_factory=list)
    helpers: list[asyncio.Task[None]] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    async def run(self) -> Facts:
        """Run it and return what was seen."""
        names = [f"{self.name}-unit-{number}" for number in range(self.case.units)]
        # An application for each case: one that stands still must not be the end of those beside it.
        async with open_place(self.name, self.lab.cluster, self.lab.admin, names) as place:
            async with Application() as app:
                units = [Unit(name, self.case.orders, self._reached(place)) for name in names]
                bench = make_bench(app, self.lab.policy, place.target, self.name, self._pool_size())
                try:
                    facts = await self._through(place, app, bench, units)
                finally:
                    await to_its_end(self._end(bench, units))
            if app.lives or bench.stuck:
                self.lab.stuck.append(self.case.name)
            return facts

    def _pool_size(self) -> int:
        return 3 if self.case.one_by_one else max(3, self.case.units)

    async def _through(self, place: Place, app: Application, bench: Bench, units: list[Unit]) -> Facts:
        for strike in self.case.strikes:
            if strike.call == 0:
                await place.arm(strike.rule, 0)
        if self.case.down:
            await self._take_down(place)
        started, lag = time.monotonic(), 0.0
        statements = bench.statements
        if self.case.runs > 1:
            async with app.watched():
                await self._run_units(bench, units)
            lag = app.lag
        else:
            await self._run_units(bench, units)
        statements = bench.statements - statements
        await self._helpers_end()
        self._note(await place.firings(), units)
        await place.disarm()
        checked_out, left_open, trouble = 0, 0, ""
        if self.case.dimension == "hygiene":
            checked_out = await bench.checked_out()
            left_open = await place.open_transactions()
            trouble = await bench.next_user()
        effects = await place.effects([unit.name for unit in units])
        return Facts(
            units=tuple(unit.facts(effects.get(unit.name, 0)) for unit in units),
            evidence=tuple(self.evidence),
            deadline=self.lab.deadline,
            keyed=self.lab.policy.keyed,
            checked_out=checked_out,
            open_transactions=left_open,
            next_user=trouble,
            lag=lag,
            attempts_at=tuple(sorted(at - started for unit in units for at in unit.begun)),
            statements=statements,
        )

    async def _run_units(self, bench: Bench, units: list[Unit]) -> None:
        limit = self.case.limit or self.lab.deadline
        for some in [[unit] for unit in units] if self.case.one_by_one else [units]:
            await bench.run(some, limit)
            if any(unit.said is Said.NOTHING for unit in some):
                break

    async def _take_down(self, place: Place) -> None:
        await place.control.disable(place.name)
        forever = math.isinf(self.case.down)
        self.evidence.append(f"gateway down {'all the time' if forever else f'for {self.case.down:g} s'}")
        if not forever:
            self.helpers.append(asyncio.create_task(self._bring_up(place)))

    async def _bring_up(self, place: Place) -> None:
        await asyncio.sleep(self.case.down)
        await place.control.enable(place.name)

    def _reached(self, place: Place) -> Callable[[str, int], Future[None] | None]:
        """Return what a unit calls on its own loop or thread: it waits until the faults of its place are armed."""
        at_end = {strike.call for strike in self.case.strikes if strike.call}

        def reached(where: str, call: int) -> Future[None] | None:
            if where == "end" and call in at_end:
                return asyncio.run_coroutine_threadsafe(self._arm(place, call), self.loop)
            if where == "middle" and call == 1 and self.case.crash:
                return asyncio.run_coroutine_threadsafe(self._crash(), self.loop)
            return None

        return reached

    async def _arm(self, place: Place, call: int) -> None:
        for strike in self.case.strikes:
            if strike.call == call:
                await place.arm(strike.rule, call)

    async def _crash(self) -> None:
        cluster = self.lab.cluster
        if isinstance(cluster, CrashesServer):
            killed = await cluster.crash_server()
            self.evidence.append(f"server crashed, {killed} processes killed; restarted after {RESTART_AFTER:g} s")
            self.helpers.append(asyncio.create_task(self._restart(cluster)))

    async def _restart(self, cluster: CrashesServer) -> None:
        await asyncio.sleep(RESTART_AFTER)
        await cluster.restart_server()

    async def _helpers_end(self) -> None:
        for helper in self.helpers:
            await helper

    def _note(self, firings: Sequence[FiringInfo], units: Sequence[Unit]) -> None:
        hits = sum(unit.hits for unit in units)
        if hits:
            self.evidence.append(f"the unit's own statement failed with {self.case.orders.state}, {hits} times")
        if any(unit.cancelled_at is not None for unit in units):
            self.evidence.append("the policy's task was cancelled")
        self.evidence.extend(_line(firing) for firing in firings[:MOST_EVIDENCE])
        if len(firings) > MOST_EVIDENCE:
            self.evidence.append(f"and {len(firings) - MOST_EVIDENCE} more")

    async def _end(self, bench: Bench, units: Sequence[Unit]) -> None:
        for helper in self.helpers:
            helper.cancel()
        for unit in units:
            unit.over = True
        await bench.close(units)


def _line(firing: FiringInfo) -> str:
    truth = f"forwarded, answered {firing.answer}" if firing.forwarded else "not forwarded"
    return f"{firing.action} at the {firing.moment} of {firing.statement} ({firing.application_name}): {truth}"
