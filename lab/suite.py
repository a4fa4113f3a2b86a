"""A suite: a cluster of its own, scenarios one after the other, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from faults.plan import EVERY_NODE, LEASEHOLDER, ONE_NODE, SERVER, Plan
from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice, make_cluster
from lab.clusters.base import Cluster, lacking, missing_of, require
from lab.errors import EnvironmentProblem
from lab.observer import Nobody, Observer
from lab.recorder import Recorder
from lab.runner import Result, run_scenario
from lab.scenario import Scenario
from lab.state import RunFolder, sweep
from lab.studies.base import Study, StudyResult
from lab.verdict import Verdict, merge


class SuiteObserver(Observer, Protocol):
    """Told of scenarios and studies as well as of what happens within."""

    def scenario_begins(self, scenario: Scenario) -> None:
        """Hear which scenario runs now."""

    def scenario_ends(self, result: Result) -> None:
        """Hear how it ended."""

    def study_begins(self, study: Study) -> None:
        """Hear which study runs now."""

    def study_ends(self, result: StudyResult) -> None:
        """Hear how it ended."""


class NobodyAtAll(Nobody):
    """Does not listen."""

    def scenario_begins(self, scenario: Scenario) -> None:
        """Ignore it."""

    def scenario_ends(self, result: Result) -> None:
        """Ignore it."""

    def study_begins(self, study: Study) -> None:
        """Ignore it."""

    def study_ends(self, result: StudyResult) -> None:
        """Ignore it."""


@dataclass(frozen=True, slots=True)
class Suite:
    """What a suite showed. *about* says what the cluster was made of.

    *refused* names the scenarios that the cluster is not able to run, each with what it lacks for it.
    """

    cluster: str
    about: str
    seed: int
    results: tuple[Result, ...]
    refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    studies: tuple[StudyResult, ...] = ()

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all."""
        return merge(self.verdicts)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdicts of all scenarios, then of all studies."""
        return (*(result.verdict for result in self.results), *(study.verdict for study in self.studies))


async def run_suite(
    scenarios: Sequence[Scenario],
    *,
    cluster: str | ClusterChoice = "embedded",
    seed: int,
    report: Path | None = None,
    plan: Plan | None = None,
    observer: SuiteObserver | None = None,
    skip_unable: bool = False,
    studies: Sequence[Study] = (),
    watch: Callable[[Recorder], None] | None = None,
) -> Suite:
    """Start a cluster, run the scenarios on it, then the studies, and end it.

    Journals go to *report*, or are thrown away. *watch* is given the recorder of each scenario as it begins.

    What a killed earlier run has left is removed first. Raises UsageError for an unknown cluster, NotCapable if a
    scenario needs what the cluster lacks (*skip_unable*: it is left out and told as refused), MalformedPlan of faults
    for a plan with unknown nodes, EnvironmentProblem if this machine cannot run it; all of that before anything is
    struck.
    """
    listener = observer or NobodyAtAll()
    asked = cluster.arguments() if isinstance(cluster, ClusterChoice) else ()
    if report is not None:
        make_folder(report)
    async with AsyncExitStack() as stack:
        run, made = open_cluster(cluster, seed)
        stack.callback(run.remove, STOP)
        able(made, scenarios, skip_unable=skip_unable)
        if plan is not None:
            plan.resolve(made.node_names)
        for study in studies:
            require(made, study.needs, f"study '{study.name}'")
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        listener.phase("starting the cluster")
        await made.start(made.starts_within)
        results: list[Result] = []
        chosen, refused = able(made, scenarios, skip_unable=skip_unable)  # some of it is only known now
        for scenario in chosen:
            listener.scenario_begins(scenario)
            times = sum(result.scenario == scenario.name for result in results) + 1
            name = scenario.name if times == 1 else f"{scenario.name}-{times}"
            journal = (report or run.path / "journals") / f"{name}.jsonl"
            result = await run_scenario(
                scenario, made, seed=seed, journal=journal, plan=plan, observer=listener, watch=watch, asked=asked
            )
            listener.scenario_ends(result)
            results.append(result)
        measured = await _run_studies(studies, made, seed, listener)
        return Suite(made.name, made.about, seed, tuple(results), refused, measured)


async def _run_studies(
    studies: Sequence[Study], cluster: Cluster, seed: int, observer: SuiteObserver
) -> tuple[StudyResult, ...]:
    measured = []
    for study in studies:
        observer.study_begins(study)
        measured.append(await study.run(cluster, seed, observer))
        observer.study_ends(measured[-1])
    return tuple(measured)


def able(
    cluster: Cluster, scenarios: Sequence[Scenario], *, skip_unable: bool
) -> tuple[list[Scenario], tuple[tuple[str, tuple[str, ...]], ...]]:
    """Return the scenarios that *cluster* is able to run, and the names of the others with what it lacks for each.

    Raises NotCapable for the first of those others unless they are to be skipped.
    """
    refused = []
    for scenario in scenarios:
        missing = [*missing_of(cluster, scenario.needs), *_missing_nodes(cluster, scenario)]
        if missing and not skip_unable:
            raise lacking(cluster, missing, f"scenario '{scenario.name}'")
        if missing:
            refused.append((scenario.name, tuple(missing)))
    names = {name for name, _ in refused}
    return [scenario for scenario in scenarios if scenario.name not in names], tuple(refused)


def _missing_nodes(cluster: Cluster, scenario: Scenario) -> list[str]:
    """Return the nodes that the plan names and the cluster does not have."""
    named = {step.fault.on for step in scenario.plan} - {ONE_NODE, EVERY_NODE, LEASEHOLDER, SERVER}
    return [f"node {name}" for name in sorted(named - set(cluster.node_names))]


def make_folder(report: Path) -> None:
    """Make the folder of a report before anything else; raise EnvironmentProblem if that is not possible."""
    try:
        report.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {report}: {error.strerror}", "name another with --report") from error


def open_cluster(choice: str | ClusterChoice, seed: int) -> tuple[RunFolder, Cluster]:
    """Remove what dead runs have left, and return a new run folder with a cluster in it that is not started yet."""
    sweep()
    run = RunFolder.create("run")
    try:
        return run, make_cluster(choice, run, seed=seed)
    except BaseException:
        run.remove(STOP)
        raise
