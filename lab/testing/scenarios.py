"""Whole experiments from a test: scenarios, a scorecard for a policy, an operation struck at every moment."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar, cast

from lab.clusters.base import require
from lab.db.quiet import quiet_drivers
from lab.errors import unknown_name
from lab.explore import Exploration, Question, explore, verdict_of
from lab.explore.explorer import Count, Setup, Unit
from lab.retry import Policy
from lab.runner import Result, run_scenario
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS
from lab.testing.cluster import LabCluster
from lab.validate import Scorecard, as_policy, validate_on
from lab.validate.cases import CASES, DIMENSIONS, Case
from lab.verdict import Verdict
from lab.workloads import choose_workload
from lab.workloads.base import Workload

UserPolicy: TypeAlias = Callable[..., Awaitable[Any]]
"""A policy, however its author has typed it; its shape is `lab.retry.Policy`."""

Shown = TypeVar("Shown", Result, Scorecard, Exploration)

MOST_LINES: Final = 20
"""Cases that `explain` names."""


class LabScenario:
    """Runs experiments on the session's cluster; each call returns when it is over, and leaves the cluster healed.

    Journals go to *journals*, named after the *test*. *policy* and *workload* take the place of a scenario's own.
    """

    def __init__(
        self,
        lab: LabCluster,
        journals: Path,
        test: str,
        *,
        policy: UserPolicy | None = None,
        workload: Workload | str | None = None,
    ) -> None:
        self._lab = lab
        self._journals = journals
        self._test = re.sub(r"[^\w.-]+", "-", test).strip("-")[-120:]
        self._policy = policy
        self._workload = workload
        self.journals: list[Path] = []
        self.told: list[str] = []
        """What came of each experiment, in a line."""

    def __call__(
        self,
        scenario: Scenario | str,
        *,
        policy: UserPolicy | None = None,
        workload: Workload | str | None = None,
        seed: int | None = None,
    ) -> Result:
        """Run a scenario, or the shipped one of that name; raises UsageError and NotCapable before anything is struck.

        The journal of the run is `Result.journal`.
        """
        chosen = _with(_scenario(scenario), policy or self._policy, workload or self._workload)
        require(self._lab.cluster, chosen.needs, f"scenario '{chosen.name}'")
        self._journals.mkdir(parents=True, exist_ok=True)
        journal = self._journals / f"{self._test}-{len(self.journals) + 1}.jsonl"
        self.journals.append(journal)
        running = run_scenario(
            chosen, self._lab.cluster, seed=self._lab.seed if seed is None else seed, journal=journal
        )
        return self._noted(self._lab.call(running))

    def validate(
        self,
        policy: Any,
        *,
        only: Sequence[str] = (),
        deadline: float = 20.0,
        unknown: Sequence[str] = (),
    ) -> Scorecard:
        """Judge a retry policy as ``lab validate`` does; *only* names dimensions or cases, all by default.

        *deadline*: seconds in which it has to answer. *unknown*: exceptions that say unknown. Raises UsageError for an
        unknown name, and for what is no policy or does not get through a run without faults.
        """
        name = getattr(policy, "__name__", type(policy).__name__)
        loaded, cases = as_policy(policy, name, unknown=tuple(unknown)), _cases(only)
        judging = validate_on(self._lab.cluster, loaded, cases=cases, deadline=deadline, prefix=self._lab.place())
        return self._noted(Scorecard(name, self._lab.call(judging), self._lab.about))

    def explore(
        self,
        unit: Unit,
        effects: Count,
        *,
        setup: Setup | None = None,
        only: str | None = None,
        within: float = 30.0,
        unknown: Sequence[str] = (),
    ) -> Exploration:
        """Run an operation once for each moment and fault, as ``lab explore`` does, each time on a new connection.

        *unit(sessions)* has exactly one effect, *effects(session)* counts them, *setup(engine)* comes first.
        """
        asked = Question(unit, effects, setup, only=only, within=within)
        asked = replace(asked, unknown={*asked.unknown, *unknown})
        with quiet_drivers():
            return self._noted(self._lab.call(explore(self._lab.cluster, asked, _nobody)))

    def _noted(self, result: Shown) -> Shown:
        self.told.append(_head(result))
        return result


def explain(result: Result | Scorecard | Exploration) -> str:
    """Return the verdict of a result and what was not as it should be, a line each: the message of an assertion."""
    head = _head(result)
    if isinstance(result, Result):
        wrong = [f"{one.check} {one.verdict}: {one.why}" for one in result.findings if one.verdict is not Verdict.PASS]
        head = f"{head}; journal {result.journal}"
    elif isinstance(result, Scorecard):
        wrong = [f"{one.case} {one.verdict}: {one.why}" for one in result.cases if one.verdict is not Verdict.PASS]
    else:
        wrong = [f"{one.only} {one.verdict}: {one.why}" for one in result.cases if one.verdict is not Verdict.PASS]
    more = [f"and {len(wrong) - MOST_LINES} more"] if len(wrong) > MOST_LINES else []
    return "\n  ".join([head, *wrong[:MOST_LINES], *more])


def _head(result: Result | Scorecard | Exploration) -> str:
    if isinstance(result, Result):
        return f"{result.scenario}: {result.verdict}"
    if isinstance(result, Scorecard):
        passed = sum(one.verdict is Verdict.PASS for one in result.cases)
        return f"{result.policy}: {passed} of {len(result.cases)} cases pass"
    return f"{verdict_of(result)}: {len(result.cases)} cases at {len(result.steps)} moments"


def _scenario(scenario: Scenario | str) -> Scenario:
    if isinstance(scenario, Scenario):
        return scenario
    if scenario not in SCENARIOS:
        raise unknown_name("scenario", scenario, SCENARIOS)
    return SCENARIOS[scenario]


def _with(scenario: Scenario, policy: UserPolicy | None, workload: Workload | str | None) -> Scenario:
    if isinstance(workload, str):
        workload = choose_workload(workload)
    if workload is not None:
        scenario = scenario.with_workload(workload)
    return scenario if policy is None else replace(scenario, policy=cast("Policy", policy))


def _cases(only: Sequence[str]) -> Sequence[Case]:
    known = {case.name for case in CASES}
    for name in only:
        if name not in known and name not in DIMENSIONS:
            raise unknown_name("dimension or case", name, [*DIMENSIONS, *known])
    return [case for case in CASES if not only or case.name in only or case.dimension in only]


_nobody: Callable[[int], object] = bool
