"""A scenario with another workload: its own claims stay, the data is judged by the workload's checks."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.errors import UsageError
from lab.history import Final, Json
from lab.journal import Closed, Ended, Invoked, JournalWriter, Run
from lab.replay import recheck
from lab.scenarios import SCENARIOS, choose
from lab.verdict import Verdict
from lab.workloads import WORKLOADS
from lab.workloads.provoked import Provoked


def test_a_scenario_is_judged_by_its_faults_its_workload_what_always_holds_and_its_own_claims_in_this_order() -> None:
    names = [check.name for check in SCENARIOS["lost-acks"].checks]
    assert names == [
        *("faults fired", "conserved", "explained", "exactly once", "connections returned"),
        *("succeeds", "answers", "recovers", "doubted"),
    ]


def test_another_workload_brings_its_own_checks_and_nothing_else_changes() -> None:
    scenario = SCENARIOS["lost-acks"]
    other = scenario.with_workload(WORKLOADS["orders"])
    assert [check.name for check in other.checks][1:3] == ["stock kept", "paid once"]
    assert other.title == f"orders: {scenario.title}"
    assert (other.plan, other.policy, other.expect) == (scenario.plan, scenario.policy, scenario.expect)


def test_what_is_wrapped_around_a_workload_stays_around_the_other_one() -> None:
    workload = SCENARIOS["forced-retries"].with_workload(WORKLOADS["set"]).workload
    assert isinstance(workload, Provoked)
    assert workload.inner is WORKLOADS["set"]
    assert workload.name == "set, provoked"


def test_a_scenario_that_has_this_workload_already_keeps_its_size() -> None:
    scenario = SCENARIOS["hot-rows"]
    assert scenario.with_workload(WORKLOADS["bank"]) is scenario


def test_all_scenarios_can_be_chosen_with_a_workload() -> None:
    chosen = choose([], "list-append")
    assert [scenario.name for scenario in chosen] == list(SCENARIOS)
    assert {scenario.workload.name for scenario in chosen} == {"list-append", "list-append, provoked"}


def journal_of(path: Path, scenario: str, workload: str, state: Json) -> Path:
    """Write the journal of a run in which one read was begun."""
    with JournalWriter(path) as writer:
        writer.write(Run(scenario, "", 1, "", "", {"steps": []}, {}, workload=workload))
        writer.write(Invoked(0, 0, "read", None, 0.0))
        writer.write(Ended(Final(state, {}, 0, 0)))
        writer.write(Closed(Verdict.INCONCLUSIVE, 1.0))
    return path


@pytest.mark.parametrize(
    ("scenario", "workload", "check"),
    [
        ("steady", "", "conserved"),
        ("steady", "bank", "conserved"),
        ("steady", "orders", "stock kept"),
        ("forced-retries", "orders, provoked", "stock kept"),
        ("forced-retries", "bank, provoked", "conserved"),
        ("anomalies", "bank", "conserved"),
    ],
)
def test_a_journal_is_judged_by_the_checks_of_its_workload(
    scenario: str, workload: str, check: str, tmp_path: Path
) -> None:
    judged = recheck(journal_of(tmp_path / "journal.jsonl", scenario, workload, None))
    assert judged.findings[1].check == check


def test_a_journal_of_an_unknown_workload_is_refused_with_the_nearest(tmp_path: Path) -> None:
    path = journal_of(tmp_path / "journal.jsonl", "steady", "order", None)
    with pytest.raises(UsageError, match="unknown workload 'order': did you mean orders"):
        recheck(path)
