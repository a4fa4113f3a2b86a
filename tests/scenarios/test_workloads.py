"""Workloads under faults: with the right policy each keeps its invariant, with a wrong one its checks say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.clusters.base import Cluster
from lab.journal import read_journal
from lab.replay import recheck
from lab.retry import wrong
from lab.runner import run_scenario
from lab.verdict import Verdict
from lab.workloads import WORKLOADS
from tests.scenarios.test_scenarios import explain, findings, mistake, runnable

pytestmark = pytest.mark.slow

FAULTS = ("lost-acks", pytest.param("gateway-lost", marks=pytest.mark.soak))
"""Doubt, and loss. CI runs list-append under more of them: lab run --workload list-append."""

OTHERS = [name for name in WORKLOADS if name not in {"bank", "list-append"}]


IN_SECONDS = {"answers", "recovers"}
"""Checks with bounds in seconds, which are made for the scenario's own workload: others have more to wait for."""


async def passes(scenario: str, workload: str, cluster: Cluster, seed: int, journal: Path) -> None:
    chosen = runnable(scenario, cluster).with_workload(WORKLOADS[workload])

    result = await run_scenario(chosen, cluster, seed=seed, journal=journal)

    wrong = findings(result, Verdict.FAIL) | findings(result, Verdict.INCONCLUSIVE)
    assert wrong <= IN_SECONDS, explain(result)
    assert {check.name for check in WORKLOADS[workload].checks} <= findings(result, Verdict.PASS)
    assert read_journal(journal).run.workload == chosen.workload.name
    assert recheck(journal).findings == result.findings


@pytest.mark.parametrize(
    "scenario",
    [
        "anomalies",
        "conflicts",
        *(pytest.param(n, marks=pytest.mark.soak) for n in ("commit-doubt", "server-crash", "hot-rows")),
    ],
)
async def test_list_append_is_serializable_under_faults(
    scenario: str, cluster: Cluster, seed: int, journal: Path
) -> None:
    await passes(scenario, "list-append", cluster, seed, journal)


@pytest.mark.parametrize("scenario", FAULTS)
@pytest.mark.parametrize("workload", OTHERS)
async def test_a_workload_keeps_its_invariant_under_faults(
    scenario: str, workload: str, cluster: Cluster, seed: int, journal: Path
) -> None:
    await passes(scenario, workload, cluster, seed, journal)


@pytest.mark.parametrize(
    ("workload", "caught_by"),
    [
        ("list-append", {"exactly once", "serializable", "appends kept"}),
        ("orders", {"exactly once"}),
        ("counter", {"counter"}),
        ("set", {"set"}),
    ],
)
async def test_a_blind_retry_after_a_lost_acknowledgement_is_caught(
    workload: str, caught_by: set[str], cluster: Cluster, seed: int, journal: Path
) -> None:
    blind = mistake("lost-acks", wrong.blind_retry, "exactly once").apply(cluster)

    result = await run_scenario(blind.with_workload(WORKLOADS[workload]), cluster, seed=seed, journal=journal)

    assert result.verdict is Verdict.FAIL, explain(result)
    assert caught_by <= findings(result, Verdict.FAIL), explain(result)
