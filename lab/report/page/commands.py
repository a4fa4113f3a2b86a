"""The commands that repeat a run, exactly as they are to be typed."""

from __future__ import annotations

import shlex

from faults.errors import FaultError
from faults.plan import Plan
from lab.history import Json
from lab.records import Run
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS
from lab.workloads import WORKLOADS

NODES = ("n1", "n2", "n3")
"""What the nodes of the lab's own clusters are called."""


def run_command(run: Run) -> str | None:
    """Return the command that repeats a run; None for a scenario or a policy that is not shipped.

    It strikes with a file plan.json, holding the plan of the journal, where the seed alone would not give that plan.
    """
    scenario = SCENARIOS.get(run.scenario)
    if scenario is None or run.policy != scenario.policy_name:  # which a command cannot name
        return None
    words = ["lab", "run", run.scenario, *_cluster(run), "--seed", str(run.seed)]
    words += _workload(scenario, run.workload)
    if run.isolation != scenario.engine.isolation_level:
        words += ["--isolation", run.isolation.lower().replace(" ", "-")]
    if not _by_seed(scenario, run):
        words += ["--plan", "plan.json"]
    return shlex.join(words)


def replay_command(file: str) -> str:
    """Return the command that judges a journal again."""
    return shlex.join(["lab", "replay", file])


def _cluster(run: Run) -> tuple[str, ...]:
    name = run.cluster.partition(":")[0]
    if "--cluster" in run.asked:
        return run.asked
    return ("--cluster", name, *run.asked, *(("--dsn", "DSN") if name == "external" else ()))


def _workload(scenario: Scenario, recorded: str) -> list[str]:
    if recorded in ("", scenario.workload.name):
        return []
    named = [name for name, made in WORKLOADS.items() if scenario.with_workload(made).workload.name == recorded]
    return ["--workload", named[0]] if named else []


def _by_seed(scenario: Scenario, run: Run) -> bool:
    try:
        drawn: dict[str, Json] | object = Plan(scenario.plan, run.seed).resolve(list(NODES)).to_json()
    except FaultError:
        return False
    return drawn == run.plan
