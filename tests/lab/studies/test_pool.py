"""The pool matrix: cells on a real PostgreSQL, expectations that are hard to please, and the page made of them."""

from __future__ import annotations

import inspect
import io
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from rich.console import Console

from lab.clusters.base import Capability, Cluster
from lab.db import resilient_engine, resilient_sync_engine
from lab.observer import Nobody
from lab.report.terminal import study_tables
from lab.studies.base import StudyResult
from lab.studies.pool.cells import COLUMNS, Cell, Client, Death, Moment, Setting, all_cells
from lab.studies.pool.engines import WAITS
from lab.studies.pool.expected import EXPECTED
from lab.studies.pool.facts import Facts, Measured, PoolState, told
from lab.studies.pool.habits import HABITS
from lab.studies.pool.hosts import HOSTS
from lab.studies.pool.judge import Seen, judge
from lab.studies.pool.matrix import SLACK, measure_cells
from lab.studies.pool.render import Matrix, data_of, page_of, page_of_data, table_of
from lab.studies.pool.study import left_out, look_at, looks_of
from lab.studies.pool.vanished import VANISHED
from lab.suite import Suite
from lab.verdict import Finding, Verdict

PAGE = Path(__file__).parents[3] / "docs" / "pools.md"
AIM = 90.0
"""Seconds within which the whole matrix has to be measured."""

PATIENCE = 110.0
"""Seconds that the command may take here."""

WIDTH = 80

QUICK = (
    *(Cell(Death.FIN, moment, *column) for moment in (Moment.IDLE, Moment.PING) for column in COLUMNS),
    Cell(Death.REFUSED, Moment.COMMIT, Client.ASYNCPG, Setting.ON),
    Cell(Death.RST, Moment.TRANSACTION, Client.PSYCOPG, Setting.OFF),
    Cell(Death.STOPPED, Moment.PING, Client.PSYCOPG, Setting.ON),
    *(Cell(Death.STOPPED, Moment.IDLE, client, Setting.RESILIENT) for client in Client),
    Cell(Death.BLACK_HOLE, Moment.COMMIT, Client.ASYNCPG, Setting.RESILIENT),
)
"""What a second or three can show: each setting, a user that hangs, and each kind of strike but the restart."""

CALM = Measured(
    Cell(Death.FIN, Moment.IDLE, Client.ASYNCPG, Setting.RESILIENT),
    Facts((), False, 3, PoolState(0, 3, 0), True),
    (0.1, 0.0, 0.0, 0.0),
    WAITS.unit,
)


@pytest.fixture(scope="module")
async def quick(cluster: Cluster) -> Sequence[Measured]:
    """Some cells, measured at the same time."""
    if Capability.BACKEND_PAUSE not in cluster.capabilities:
        pytest.skip(f"{cluster.name} has no {Capability.BACKEND_PAUSE}")
    return await measure_cells(cluster, [cell for cell in QUICK if not cell.impossible])


def finding_of(findings: Sequence[Finding], check: str) -> Finding:
    """Return the finding of this name."""
    return next(finding for finding in findings if finding.check == check)


async def test_some_cells_are_as_expected(quick: Sequence[Measured]) -> None:
    seen = {one.cell.name: str(one.facts) for one in quick}
    assert {name: text for name, text in seen.items() if text not in EXPECTED[name]} == {}


async def test_a_user_that_nothing_bounds_hangs_and_is_freed(quick: Sequence[Measured]) -> None:
    hung = next(one for one in quick if one.cell == Cell(Death.STOPPED, Moment.PING, Client.PSYCOPG, Setting.ON))
    assert hung.facts.hangs
    assert hung.facts.pool == PoolState(1, 3, 0)


async def test_a_resilient_engine_is_told_within_the_bound_that_it_states(quick: Sequence[Measured]) -> None:
    resilient = [one for one in quick if one.cell.setting is Setting.RESILIENT]
    assert {one.bound for one in resilient} == {WAITS.unit, WAITS.synchronous().unit}
    assert [one.cell.name for one in resilient if one.bound is None or one.slowest > one.bound + SLACK] == []


async def test_an_expectation_that_does_not_hold_fails_and_names_cell_expected_and_seen(
    quick: Sequence[Measured],
) -> None:
    broken = {**EXPECTED, "FIN, idle, asyncpg off": ("no error; 3 opened; pool 0/3/0; works",)}
    finding = finding_of(judge(quick, (), broken), "asyncpg off")

    assert finding.verdict is Verdict.FAIL
    assert finding.why == (
        "FIN, idle, asyncpg off: expected 'no error; 3 opened; pool 0/3/0; works', "
        "seen '1 x asyncpg.InterfaceError; 3 opened; pool 0/3/0; works'"
    )
    assert finding_of(judge(quick, (), EXPECTED), "asyncpg off").verdict is Verdict.PASS


def test_a_cell_that_outlasts_its_bound_fails_whatever_it_saw() -> None:
    late = replace(CALM, seconds=(WAITS.unit + SLACK + 0.1,))
    finding = finding_of(judge([late], (), EXPECTED), "asyncpg resilient")
    assert finding.verdict is Verdict.FAIL
    assert "its bound is 6.4 s" in finding.why


def test_a_cell_of_which_nothing_is_known_is_doubt_and_so_is_a_column_without_cells() -> None:
    findings = judge([CALM], (), {})
    assert finding_of(findings, "asyncpg resilient").verdict is Verdict.INCONCLUSIVE
    assert finding_of(findings, "psycopg on").verdict is Verdict.INCONCLUSIVE


def test_a_look_that_shows_something_else_fails() -> None:
    seen = Seen("LIFO", Client.ASYNCPG, "10 users in turn were served by 5 of 5 connections", 0.1)
    finding = finding_of(judge((), [seen], EXPECTED), "more about pools")
    assert finding.verdict is Verdict.FAIL
    assert finding.why.startswith("LIFO, asyncpg: expected '10 users in turn were served by 1 of 5 connections', seen")


async def test_looks_are_taken_with_both_drivers(cluster: Cluster) -> None:
    names = ("SET leaks", "late, but alive", "cancelled task", "no reset on return", "pool_recycle")
    able = looks_of(cluster.capabilities, cluster.direct.dialect)
    chosen = {name: able[name] for name in names if name in able}
    seen = await look_at(cluster, chosen, Nobody())
    assert [(one.title, one.client) for one in seen] == list(product(chosen, (Client.ASYNCPG, Client.PSYCOPG)))
    assert "pool_recycle" in chosen
    assert {one.name: one.text for one in seen if one.text not in EXPECTED[one.name]} == {}


async def test_only_the_settings_of_the_kernel_find_out_that_a_host_has_vanished(cluster: Cluster) -> None:
    if Capability.VANISHING not in cluster.capabilities:
        pytest.skip(f"{cluster.name} has no {Capability.VANISHING}")
    seen = await look_at(cluster, dict(VANISHED), Nobody())
    assert len(seen) == 4
    assert {one.name: one.text for one in seen if one.text not in EXPECTED[one.name]} == {}


def test_something_is_expected_of_every_cell_and_every_look_and_of_nothing_else() -> None:
    titles = {**HABITS, **HOSTS, **VANISHED}
    looks = {f"{title}, {client}" for title in titles for client in (Client.ASYNCPG, Client.PSYCOPG)}
    assert set(EXPECTED) == {cell.name for cell in all_cells()} | looks


def test_impossible_cells_are_left_out_with_a_reason() -> None:
    assert Cell(Death.FIN, Moment.PING, Client.ASYNCPG, Setting.OFF).impossible == "nothing pings"
    assert len(all_cells()) == len(Death) * (len(Moment) * len(COLUMNS) - 2)


NODES = {Capability.TOXICS, Capability.WIRE_RULES}


def test_what_a_cluster_cannot_do_leaves_cells_out_and_is_told() -> None:
    told_of = left_out("local", NODES, "cockroachdb")
    assert told_of[0] == "restart: 26 cells left out, as 'local' has no server crash"
    assert told_of[1] == "stopped: 26 cells left out, as 'local' has no backend pause"
    assert told_of[2].startswith("SET leaks, terminated")
    assert left_out("local", {*NODES, Capability.NODE_KILL}, "cockroachdb")[0].startswith("stopped: 26 cells")
    assert left_out("embedded", set(Capability), "postgresql") == []


def test_the_committed_page_is_made_of_what_is_expected() -> None:
    """Made by: lab run pool --json | python -m lab.studies.pool > docs/pools.md, and read."""
    assert PAGE.read_text(encoding="utf-8") == page_of(EXPECTED)


def test_the_page_of_a_run_shows_what_was_seen_where_that_was_not_expected() -> None:
    other = {"FIN, idle, asyncpg resilient": ("1 x something else; 3 opened; pool 0/3/0; works",)}
    page = page_of_data(data_of(Matrix((CALM,), ()), other))
    assert "| idle | asyncpg | - | - | no error; 3 opened |" in page


def test_the_table_fits_into_80_columns() -> None:
    cells = tuple(replace(CALM, cell=cell, seconds=(9.9,)) for cell in all_cells())
    seen = tuple(
        Seen(name.rpartition(", ")[0], Client(name.rpartition(", ")[2]), EXPECTED[name][0], 0.0)
        for name in EXPECTED
        if name.rpartition(", ")[0] in {**HABITS, **HOSTS, **VANISHED}
    )
    result = StudyResult("pool", Verdict.PASS, (), table_of(Matrix(cells, seen)), None, 1.0)
    console = Console(file=io.StringIO(), width=WIDTH)
    with console.capture() as capture:
        for part in study_tables(Suite("embedded", "a database", 7, (), studies=(result,))):
            console.print(part)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert not any("…" in line for line in lines)
    assert "black hole COMMIT 0/3 9.9 0/3 9.9" in " ".join(next(x for x in lines if "hole COMMIT" in x).split())


def test_an_error_is_told_by_the_names_that_an_application_can_catch() -> None:
    assert told(ConnectionRefusedError()) == "raw ConnectionRefusedError"


@pytest.mark.parametrize("door", [resilient_engine, resilient_sync_engine])
def test_every_argument_of_the_engine_names_a_cell_that_shows_why(door: object) -> None:
    arguments = set(inspect.signature(resilient_engine).parameters) - {"target", "driver", "application_name"}
    assert set(inspect.signature(door).parameters) - {"target", "driver", "application_name"} == arguments  # type: ignore[arg-type]
    words = " ".join((inspect.getdoc(resilient_engine) or "").split())
    assert {argument for argument in arguments if f"*{argument}*" not in words} == set()
    shown = set(re.findall(r"\[([^\]]+)\]", words))
    known = {name.rpartition(", ")[0] for name in EXPECTED}
    assert shown
    assert {name for name in shown if name not in known} == set()


@pytest.mark.slow
def test_the_whole_matrix_is_as_expected_in_time_and_makes_the_committed_page(root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab.cli", "run", "pool", "--json", "--report", str(tmp_path / "report")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert json.loads((tmp_path / "report" / "results.json").read_text()) == answer
    assert "hangs" in (tmp_path / "report" / "summary.svg").read_text()
    study = answer["studies"][0]
    assert study["seconds"] < AIM
    assert {one["name"] for one in [*study["data"]["cells"], *study["data"]["more"]]} == set(EXPECTED)
    assert page_of_data(study["data"]) == PAGE.read_text(encoding="utf-8")
