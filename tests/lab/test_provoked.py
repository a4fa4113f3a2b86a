"""A workload that asks the database for a serialization failure: the first attempts meet it, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lab.clusters.base import Cluster
from lab.history import Outcome
from lab.runner import run_scenario
from lab.scenarios import SCENARIOS
from lab.verdict import Verdict
from lab.workloads.bank import Bank
from lab.workloads.provoked import Provoked

RAISE = "DO $$BEGIN RAISE EXCEPTION 'provoked' USING ERRCODE = '40001'; END$$"
"""What CockroachDB's force_retry does, for PostgreSQL."""


async def test_a_provoked_unit_fails_as_often_as_it_is_told_and_is_then_applied_once(
    cluster: Cluster, seed: int, journal: Path
) -> None:
    if cluster.direct.dialect != "postgresql":
        pytest.skip("the statement is PostgreSQL's")
    scenario = replace(
        SCENARIOS["forced-retries"],
        workload=Provoked(Bank(accounts=16), RAISE, share=1.0, times=2),
        also_needs=frozenset(),
    )
    result = await run_scenario(scenario, cluster, seed=seed, journal=journal)

    assert result.verdict is Verdict.PASS, result.findings
    assert result.history.writes
    for operation in result.history.writes:
        assert operation.errors.count("40001 at STATEMENT") >= 2
        assert operation.outcome is Outcome.OK
