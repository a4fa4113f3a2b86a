"""Figures come from the history alone, say nothing where there is nothing, and become JSON for machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.plan import Cut, Plan, at
from lab.history import FaultSpan, History, Operation, Outcome
from lab.report.figures import figures, result_to_json, suite_to_json
from lab.runner import Result
from lab.suite import Suite
from lab.verdict import Finding, Verdict
from tests.lab.checks.histories import correct

FINDING = Finding("exactly once", Verdict.PASS, "2 units right", (1, 2))


def result(history: History, verdict: Verdict = Verdict.PASS) -> Result:
    plan = Plan((at(0.5, Cut("n1"), lasting=0.25),), seed=7)
    return Result("steady", verdict, (FINDING,), history, plan, 1.23456, Path("journal.jsonl"))


def in_json(shown: Result) -> Any:
    """Return what a reader of the JSON gets."""
    return msgspec.json.decode(msgspec.json.encode(result_to_json(shown)))


def operation(index: int, outcome: Outcome, seconds: float | None = 1.0, attempts: int = 1) -> Operation:
    completed = None if seconds is None else seconds
    return Operation(index, index % 2, "read", None, outcome, 0.0, completed, attempts=attempts)


def test_operations_and_attempts_are_counted_by_outcome() -> None:
    outcomes = [Outcome.OK] * 3 + [Outcome.FAIL] * 2 + [Outcome.INFO]
    shown = figures(result(History(tuple(operation(i, outcome, attempts=2) for i, outcome in enumerate(outcomes)))))
    assert (shown.ok, shown.fail, shown.info) == (3, 2, 1)
    assert (shown.attempts, shown.attempts_per_commit) == (12, 4.0)


def test_latency_is_that_of_operations_that_were_done() -> None:
    done = [operation(i, Outcome.OK, seconds=(i + 1) / 100) for i in range(100)]
    slow = [operation(100, Outcome.FAIL, seconds=99.0), operation(101, Outcome.INFO, seconds=None)]
    shown = figures(result(History((*done, *slow))))
    assert (shown.p50, shown.p99) == (0.5, 0.99)


def test_an_empty_history_has_no_latency_no_recovery_and_no_rate() -> None:
    shown = figures(result(History()))
    assert (shown.attempts_per_commit, shown.p50, shown.p99, shown.recovery) == (None, None, None, None)
    assert (shown.ok, shown.attempts, shown.per_second) == (0, 0, 0.0)


@pytest.mark.parametrize(("faults", "recovery"), [((), None), ((FaultSpan(1, "a", armed=0.1, healed=0.4),), 0.6)])
def test_recovery_is_told_only_where_something_was_healed(
    faults: tuple[FaultSpan, ...], recovery: float | None
) -> None:
    history = History((operation(0, Outcome.OK), operation(1, Outcome.OK)), faults, len(faults))
    assert figures(result(history)).recovery == recovery


def test_nobody_has_recovered_while_one_client_is_not_served() -> None:
    history = History(
        (operation(0, Outcome.OK), operation(1, Outcome.FAIL)), (FaultSpan(1, "a", armed=0.1, healed=0.4),), 1
    )
    assert figures(result(history)).recovery is None


@given(seed=st.integers(0, 2**32), faults=st.integers(0, 3), operations=st.integers(0, 20))
def test_the_figures_of_any_history_are_sane_and_plain_json(seed: int, faults: int, operations: int) -> None:
    history = correct(seed, faults=faults, operations=operations)
    shown = figures(result(history))
    assert shown.ok + shown.fail + shown.info == len(history.operations)
    assert 0 <= (shown.p50 or 0) <= (shown.p99 or 0)
    assert in_json(result(history))["operations"]["ok"] == shown.ok


def test_a_result_in_json_has_the_fields_that_machines_rely_on() -> None:
    history = correct(3)
    json = in_json(result(history))
    promised = {"scenario", "verdict", "plan", "evidence", "operations", "attempts", "checks", "seconds"}
    assert promised <= set(json)
    assert (json["scenario"], json["verdict"], json["seconds"]) == ("steady", "pass", 1.235)
    assert set(json["operations"]) == {"ok", "fail", "info"}
    assert json["checks"] == [
        {"check": "exactly once", "verdict": "pass", "why": "2 units right", "operations": [1, 2], "anomalies": []}
    ]
    assert [span["fired"] for span in json["evidence"]] == [span.fired for span in history.faults]


def test_the_plan_in_json_can_be_replayed() -> None:
    shown = result(correct(3))
    json = in_json(shown)
    assert Plan.from_json(json["plan"]) == shown.plan


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        ([Verdict.PASS, Verdict.PASS], "pass"),
        ([Verdict.PASS, Verdict.INCONCLUSIVE], "inconclusive"),
        ([Verdict.FAIL, Verdict.INCONCLUSIVE], "fail"),
        ([], "inconclusive"),
    ],
)
def test_a_suite_in_json_tells_its_seed_its_cluster_and_the_worst_verdict(verdicts: list[Verdict], worst: str) -> None:
    results = tuple(result(correct(1), verdict) for verdict in verdicts)
    refused = (("node-killed", ("node kill",)),)
    json: Any = suite_to_json(Suite("embedded", "PostgreSQL 18", 7, results, refused))
    assert set(json) == {"run", "results", "studies", "refused"}
    assert json["refused"] == [{"scenario": "node-killed", "lacks": ["node kill"]}]
    assert (json["run"]["seed"], json["run"]["cluster"], json["run"]["verdict"]) == (7, "embedded", worst)
    assert [one["verdict"] for one in json["results"]] == [verdict.value for verdict in verdicts]
