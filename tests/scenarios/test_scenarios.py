"""Every shipped scenario holds with the right policy, and fails with a wrong one that its family can tell apart."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from faults.plan import Bend, Plan, Strike
from lab.clusters.base import Cluster
from lab.journal import read_journal
from lab.retry import Policy, RetryPolicy, wrong
from lab.runner import Result, run_scenario
from lab.scenario import EngineSettings, Scenario
from lab.scenarios import SCENARIOS
from lab.suite import able
from lab.verdict import Verdict
from lab.workloads import WORKLOADS


def explain(result: Result) -> str:
    """Return all findings, a line each."""
    return "\n".join(f"{finding.verdict}: {finding.check}: {finding.why}" for finding in result.findings)


def findings(result: Result, verdict: Verdict) -> set[str]:
    """Return the names of the checks with a verdict."""
    return {finding.check for finding in result.findings if finding.verdict is verdict}


def runnable(name: str, cluster: Cluster) -> Scenario:
    """Return a scenario; skip the test, with what is missing, if the cluster is not able to run it."""
    chosen, refused = able(cluster, [SCENARIOS[name]], skip_unable=True)
    if refused:
        pytest.skip(f"{cluster.name} has no {', '.join(refused[0][1])}")
    return chosen[0]


@pytest.mark.parametrize("name", SCENARIOS)
async def test_a_scenario_passes_with_the_right_policy(name: str, cluster: Cluster, seed: int, journal: Path) -> None:
    scenario = runnable(name, cluster)

    result = await run_scenario(scenario, cluster, seed=seed, journal=journal)

    assert result.verdict is Verdict.PASS, explain(result)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_fault_is_left_to_chance_alone(name: str) -> None:
    strikes = [step.fault for step in SCENARIOS[name].plan if isinstance(step.fault, Strike)]
    certain = {str(strike) for strike in strikes if strike.rule.probability == 1}

    assert {str(strike) for strike in strikes} == certain, "a slow machine may see no statement that the draw strikes"


@dataclass(frozen=True, slots=True)
class Mistake:
    """A wrong way to meet a scenario, and the checks of which at least one must catch it."""

    scenario: str
    policy: Policy
    caught_by: frozenset[str]
    engine: EngineSettings | None = None

    def apply(self, cluster: Cluster) -> Scenario:
        """Return the scenario with the mistake in it; skip the test if the cluster is not able to run it."""
        scenario = runnable(self.scenario, cluster)
        return replace(scenario, policy=self.policy, engine=self.engine or scenario.engine)


def mistake(scenario: str, policy: Policy, *caught_by: str, engine: EngineSettings | None = None) -> Mistake:
    """Return a mistake; makes the table below readable."""
    return Mistake(scenario, policy, frozenset(caught_by), engine)


# Waits for as long as it takes: what an application without any time-out does.
patient = RetryPolicy(attempts=40, deadline=60.0)
no_timeouts = EngineSettings(connect_timeout=30.0, command_timeout=30.0, statement_timeout=None)

MISTAKES = [
    mistake("latency", wrong.no_retry, "succeeds"),
    mistake("resets", wrong.no_retry, "succeeds"),
    mistake("resets", wrong.swallow, "exactly once"),
    mistake("black-hole", patient, "answers", engine=no_timeouts),
    mistake("slow-link", wrong.no_retry, "succeeds"),
    mistake("commit-doubt", wrong.blind_retry, "exactly once"),
    mistake("commit-doubt", wrong.forgets_commit_doubt, "exactly once"),
    mistake("commit-doubt", wrong.key_in_another_transaction, "exactly once"),
    mistake("commit-doubt", wrong.swallow, "exactly once"),
    mistake("lost-acks", wrong.blind_retry, "exactly once"),
    mistake("lost-acks", wrong.forgets_commit_doubt, "exactly once"),
    mistake("conflicts", wrong.no_retry, "succeeds"),
    mistake("anomalies", wrong.blind_retry, "serializable"),
    mistake("anomalies", wrong.swallow, "appends kept"),
    mistake("conflicts", wrong.swallow, "exactly once"),
    mistake("shutdown", wrong.no_retry, "succeeds"),
    mistake("gateway-lost", wrong.no_retry, "succeeds"),
    mistake("gateways-in-turn", wrong.no_retry, "succeeds"),
    mistake("server-crash", wrong.no_retry, "succeeds"),
    mistake("total-outage", wrong.storm, "restrained"),
    mistake("hot-rows", wrong.no_retry, "succeeds"),
    mistake("hot-rows", wrong.swallow, "exactly once"),
    mistake("hot-rows", wrong.same_session, "succeeds"),
    mistake("node-killed", wrong.no_retry, "succeeds"),
    mistake("node-killed", wrong.swallow, "exactly once"),
    mistake("leaseholder-lost", wrong.swallow, "exactly once"),
    mistake("node-paused", wrong.no_retry, "succeeds"),
    mistake("node-off-network", wrong.no_retry, "succeeds"),
    mistake("rolling-restart", wrong.no_retry, "succeeds"),
    mistake("minority-cut", wrong.no_retry, "succeeds"),
    mistake("one-way-cut", patient, "answers", engine=no_timeouts),
    mistake("slow-links", wrong.no_retry, "succeeds"),
    mistake("forced-retries", wrong.no_retry, "succeeds"),
    mistake("injected-retries", wrong.no_retry, "succeeds"),
    mistake("clustered-advice", wrong.no_retry, "succeeds"),
]


def describe(case: Mistake) -> str:
    """Return a test's id."""
    return f"{case.scenario}-{getattr(case.policy, '__name__', 'patient')}"


@pytest.mark.parametrize("case", MISTAKES, ids=describe)
async def test_a_scenario_fails_with_a_wrong_policy(case: Mistake, cluster: Cluster, seed: int, journal: Path) -> None:
    result = await run_scenario(case.apply(cluster), cluster, seed=seed, journal=journal)

    assert result.verdict is Verdict.FAIL, explain(result)
    assert findings(result, Verdict.FAIL) & case.caught_by, explain(result)


async def test_a_fault_that_never_fires_makes_the_scenario_inconclusive(
    cluster: Cluster, seed: int, journal: Path
) -> None:
    scenario = SCENARIOS["latency"]
    harmless = [
        replace(step, fault=replace(step.fault, toxicity=0.0)) for step in scenario.plan if isinstance(step.fault, Bend)
    ]

    result = await run_scenario(scenario, cluster, seed=seed, journal=journal, plan=Plan(tuple(harmless), seed))

    assert result.verdict is Verdict.INCONCLUSIVE, explain(result)
    assert findings(result, Verdict.INCONCLUSIVE) == {"faults fired"}


async def test_the_journal_of_a_run_holds_its_whole_history(cluster: Cluster, seed: int, journal: Path) -> None:
    result = await run_scenario(SCENARIOS["gateway-lost"], cluster, seed=seed, journal=journal)

    read = read_journal(journal)
    assert read.history == result.history
    assert read.findings == result.findings
    assert read.verdict is result.verdict
    assert Plan.from_json(read.run.plan) == result.plan


async def test_weaker_isolation_is_caught_by_the_order_that_is_not_there(
    cluster: Cluster, seed: int, journal: Path
) -> None:
    weak = replace(
        SCENARIOS["steady"].with_workload(WORKLOADS["list-append"]).with_isolation("READ COMMITTED"), think=0
    )

    result = await run_scenario(weak, cluster, seed=seed, journal=journal)

    assert "serializable" in findings(result, Verdict.FAIL), explain(result)
    assert read_journal(journal).run.isolation == "READ COMMITTED"


def test_the_scenario_of_the_docs_runs_as_it_is_printed(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "scenarios.md").read_text(encoding="utf-8")
    code = page.partition("```python\n")[2].partition("```")[0]

    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert ran.stdout.startswith("pass\n"), ran.stdout + ran.stderr
    assert (tmp_path / "report" / "checkout-under-fire.jsonl").exists()
