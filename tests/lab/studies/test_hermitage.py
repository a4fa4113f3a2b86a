"""Hermitage on a real PostgreSQL at three levels, and a judge that is hard to please."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from lab.clusters.base import Cluster
from lab.db.engine import IsolationLevel
from lab.db.target import Target
from lab.interleave import Fate
from lab.observer import Nobody
from lab.report.terminal import study_tables
from lab.studies.hermitage import Column, judge, measure, measure_level
from lab.studies.levels import ALL, KNOWN, LEVELS, SKEWS, Known
from lab.suite import Suite
from lab.verdict import Verdict

PATIENCE = 60.0
"""Seconds that a command may take here."""

WIDTH = 80
"""Columns into which the table fits."""


@pytest.fixture(scope="module")
async def serializable(target: Target) -> Column:
    return await measure_level(target, "SERIALIZABLE", Nobody())


@pytest.fixture(scope="module")
async def weak(target: Target) -> Column:
    return await measure_level(target, "READ COMMITTED", Nobody())


def printed(suite: Suite) -> list[str]:
    """Return the lines that a terminal shows of the studies of a suite."""
    console = Console(file=io.StringIO(), width=WIDTH)
    with console.capture() as capture:
        for part in study_tables(suite):
            console.print(part)
    return capture.get().splitlines()


@pytest.mark.parametrize(
    ("level", "anomalies"),
    [("SERIALIZABLE", set()), ("REPEATABLE READ", SKEWS), ("READ COMMITTED", ALL - {"G0", "G1a"})],
)
async def test_postgresql_shows_what_each_level_is_known_for_and_nothing_else(
    target: Target, level: IsolationLevel, anomalies: set[str]
) -> None:
    column = await measure_level(target, level, Nobody())

    assert {cell.case.name for cell in column.cells if cell.verdict is Verdict.FAIL} == anomalies
    assert {cell.verdict for cell in column.cells} <= {Verdict.PASS, Verdict.FAIL}
    finding = judge(column, KNOWN["postgresql"][level])
    assert finding.verdict is Verdict.PASS
    assert {anomaly.name for anomaly in finding.anomalies} == anomalies


async def test_a_cell_marks_what_was_blocked_and_the_sqlstates_seen(serializable: Column) -> None:
    marks = {cell.case.name: cell.mark for cell in serializable.cells}
    assert (marks["G0"], marks["G1a"], marks["G2-item"]) == ("clean waits 40001", "clean", "clean 40001")


def test_an_anomaly_that_a_level_promises_not_to_have_fails_with_the_answer(weak: Column) -> None:
    finding = judge(replace(weak, level="SERIALIZABLE"), Known())

    assert finding.verdict is Verdict.FAIL
    assert "P4: no serial order explains it; as T1, T2: T2: r1 reads 1=11, and was told 1=10" in finding.why


def test_a_weak_level_that_shows_less_than_it_is_known_for_proves_nothing(serializable: Column) -> None:
    finding = judge(replace(serializable, level="READ COMMITTED"), KNOWN["postgresql"]["READ COMMITTED"])

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "known to show G1b, G1c" in finding.why


def test_what_may_be_shown_is_not_missed(serializable: Column) -> None:
    assert judge(serializable, Known(may=ALL)).verdict is Verdict.PASS


def test_a_level_that_the_cluster_lacks_is_doubt() -> None:
    lacking = Column("SERIALIZABLE", reason="SERIALIZABLE: this database runs it as REPEATABLE READ")
    assert judge(lacking, Known()).verdict is Verdict.INCONCLUSIVE


def test_a_case_that_something_else_than_a_conflict_ended_is_doubt(serializable: Column) -> None:
    cell = serializable.cells[0]
    seen = tuple(replace(s, sqlstate="57014") if s.sqlstate else s for s in cell.outcome.seen)
    odd = replace(cell, outcome=replace(cell.outcome, seen=seen))
    finding = judge(Column("SERIALIZABLE", (odd, *serializable.cells[1:])), Known())

    assert odd.mark == "unclear waits 57014"
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert finding.why.startswith("G0: T2: w1=12 ended with 57014: ")


def test_an_anomaly_is_none_if_a_commit_may_have_been_applied(weak: Column) -> None:
    cell = next(cell for cell in weak.cells if cell.case.name == "P4")
    outcome = replace(cell.outcome, fates={1: Fate.COMMITTED, 2: Fate.UNKNOWN})
    assert replace(cell, outcome=outcome).verdict is Verdict.INCONCLUSIVE


async def test_the_study_measures_every_level_of_a_cluster(cluster: Cluster) -> None:
    result = await measure(cluster, 7, Nobody())

    assert (result.name, result.verdict) == ("hermitage", Verdict.PASS)
    assert result.table.columns == ("case", *LEVELS)
    assert len(result.table.rows) == 15
    lines = printed(Suite("embedded", cluster.about, 7, (), studies=(result,)))
    assert max(map(len, lines)) <= WIDTH
    assert "G-single-write clean 40001 clean 40001 ANOMALY" in [" ".join(line.split()) for line in lines]


def test_a_command_runs_a_scenario_and_the_study_and_keeps_both_as_json(root: Path, tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "lab.cli",
        "run",
        "hermitage",
        "steady",
        "--json",
        "--report",
        str(tmp_path / "report"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ})

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert json.loads((tmp_path / "report" / "results.json").read_text()) == answer
    assert "ANOMALY" in (tmp_path / "report" / "summary.svg").read_text()
    assert [result["scenario"] for result in answer["results"]] == ["steady"]
    study = answer["studies"][0]
    assert (study["study"], study["verdict"]) == ("hermitage", "pass")
    assert [level["level"] for level in study["data"]] == list(LEVELS)
    lost = next(case for case in study["data"][2]["cases"] if case["case"] == "P4")
    assert lost["verdict"] == "fail"
    assert lost["steps"][3] == {
        "step": "T2: w1=11", "answer": 1, "sqlstate": None, "error": None, "blocked": "lock",
        "came back as": lost["steps"][3]["came back as"],
    }  # fmt: skip
