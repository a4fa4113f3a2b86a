"""Judging a recorded run again: the checks need nothing but the journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from faults.errors import MalformedPlan
from faults.plan import Plan
from lab.db.engine import IsolationLevel
from lab.errors import MalformedFile, UsageError, unknown_name
from lab.journal import Journal, Run, read_journal
from lab.scenario import Scenario
from lab.scenarios import choose
from lab.scenarios.rehearsals import PREFIX, is_rehearsal, rehearsed
from lab.verdict import Finding, Verdict, merge
from lab.workloads import WORKLOADS


@dataclass(frozen=True, slots=True)
class Recheck:
    """A journal that was judged again: what it holds, and what the checks of today find in it."""

    path: Path
    journal: Journal
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict of today; a journal that was cut is never a pass."""
        return merge(finding.verdict for finding in self.findings)


def recheck(path: Path) -> Recheck:
    """Read a journal and apply the checks of its scenario and its workload.

    Raises MalformedFile, naming the line, for a file that is no journal, and UsageError for a scenario or a workload
    that is not known.
    """
    journal = read_journal(path)
    scenario = scenario_of(journal.run)
    if journal.history.complete and journal.history.final is None:
        return Recheck(path, journal, journal.findings)  # it ended early, and says why: there is nothing to judge
    findings = tuple(check(journal.history) for check in scenario.checks)
    return Recheck(path, journal, (*_of_the_time(journal, findings), *findings))


def _of_the_time(journal: Journal, judged: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Return what was found in a rehearsal besides: whether the runbook's lines held cannot be asked again."""
    if not is_rehearsal(journal.run.scenario):
        return ()
    known = {finding.check for finding in judged}
    return tuple(finding for finding in journal.findings if finding.check not in known)


def scenario_of(run: Run) -> Scenario:
    """Return the scenario of a recorded run, with its workload and at its isolation level.

    Raises UsageError for a scenario or a workload that is not known. The policy is the scenario's own: a run of another
    one (`Run.policy`) can be judged again, and not repeated.
    """
    if is_rehearsal(run.scenario):
        return rehearsed(run.scenario.removeprefix(PREFIX))
    (scenario,) = choose([run.scenario])
    scenario = _as_it_ran(scenario, run.workload)
    levels: tuple[IsolationLevel, ...] = get_args(IsolationLevel)
    level = next((level for level in levels if level == run.isolation), scenario.engine.isolation_level)
    return scenario if level == scenario.engine.isolation_level else scenario.with_isolation(level)


def repeatable(path: Path, journal: Journal) -> tuple[Scenario, Plan]:
    """Return the scenario and the plan of a recorded run; raise UsageError if its journal does not say enough."""
    scenario = scenario_of(journal.run)
    if is_rehearsal(scenario.name):
        again = f"lab rehearse {scenario.name.removeprefix(PREFIX)} --seed {journal.run.seed}"
        raise UsageError(f"{path}: it is of a rehearsal, which has no plan: '{again}' rehearses again")
    if journal.run.policy != scenario.policy_name:
        raise UsageError(
            f"{path}: it ran with the policy {journal.run.policy}, which a journal does not hold: "
            "it can be judged, and not repeated"
        )
    try:
        return scenario, Plan.from_json(journal.run.plan)
    except MalformedPlan as error:
        raise MalformedFile(str(path), 1, str(error)) from error


def _as_it_ran(scenario: Scenario, workload: str) -> Scenario:
    """Return *scenario* with the workload whose name, wrapped as the scenario does, was recorded."""
    possible = {made.workload.name: made for made in map(scenario.with_workload, WORKLOADS.values())}
    possible[scenario.workload.name] = scenario
    if workload and workload not in possible:
        raise unknown_name("workload", workload, possible)
    return possible[workload] if workload else scenario
