"""Hermitage: fourteen interleavings and the read-only anomaly, at every isolation level that the cluster has.

SERIALIZABLE has to be clean, and the weaker levels have to show what they are known to show: that proves the oracle.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
from sqlalchemy.exc import SQLAlchemyError

from lab.clusters.base import Cluster
from lab.db.engine import IsolationLevel
from lab.db.target import Target
from lab.errors import Unhealthy
from lab.history import Json
from lab.history import Outcome as Ended
from lab.interleave import Explanation, Fate, Outcome, Seen, executor, explain
from lab.interleave.hermitage import CASES, Case
from lab.observer import Observer
from lab.studies.base import Study, StudyResult, StudyTable
from lab.studies.levels import KNOWN, LEVELS, Known
from lab.verdict import Anomaly, Finding, Verdict, merge

CONFLICTS = frozenset({"40001", "40P01"})
"""How a database ends a transaction for the sake of another; any other error says nothing about isolation."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A case as it went at a level, and what the oracle says of it."""

    case: Case
    outcome: Outcome
    explanation: Explanation

    @property
    def verdict(self) -> Verdict:
        """Pass: clean; fail: an anomaly; inconclusive if something else than a conflict ended a transaction.

        An anomaly of those that committed stays one whatever befell the others, unless one of these may have committed.
        """
        if Fate.UNKNOWN in self.outcome.fates.values():
            return Verdict.INCONCLUSIVE
        if self.explanation.verdict is Verdict.FAIL:
            return Verdict.FAIL
        return Verdict.INCONCLUSIVE if self.trouble else self.explanation.verdict

    @property
    def trouble(self) -> Seen | None:
        """A step that met something else than a conflict."""
        return next((seen for seen in self.outcome.errors if seen.sqlstate not in CONFLICTS), None)

    @property
    def why(self) -> str:
        """The oracle's sentence, or what kept it from one."""
        odd = self.trouble
        if odd is None or self.verdict is Verdict.FAIL:
            return self.explanation.why
        return f"{odd.step} ended with {odd.sqlstate or 'no SQLSTATE'}: {odd.error}"

    @property
    def mark(self) -> str:
        """The cell in the table: clean, ANOMALY or unclear; waits, if a step was blocked; the SQLSTATEs seen."""
        first = {Verdict.PASS: "clean", Verdict.FAIL: "ANOMALY", Verdict.INCONCLUSIVE: "unclear"}[self.verdict]
        waits = ["waits"] if any(seen.blocked for seen in self.outcome.seen) else []
        return " ".join([first, *waits, *sorted({seen.sqlstate or "error" for seen in self.outcome.errors})])


@dataclass(frozen=True, slots=True)
class Column:
    """A *level* as it was measured; no cells, but a *reason*, if the cluster does not have it."""

    level: IsolationLevel
    cells: tuple[Cell, ...] = ()
    reason: str = ""


async def measure(cluster: Cluster, seed: int, observer: Observer) -> StudyResult:  # noqa: ARG001 - nothing is drawn
    """Run every case at every level. Raises Unhealthy if the cluster does not let its table be made or filled."""
    began = time.monotonic()
    columns = []
    for level in LEVELS:
        try:
            columns.append(await measure_level(cluster.direct, level, observer))
        except (SQLAlchemyError, OSError) as error:
            about = " ".join(str(getattr(error, "orig", None) or error).split())
            raise Unhealthy(f"the cases cannot be run at {level}: {about or type(error).__name__}") from error
    known = KNOWN[cluster.direct.dialect]
    judged = [column for column in columns if column.cells or column.level == "SERIALIZABLE"]
    findings = tuple(judge(column, known[column.level]) for column in judged)
    verdict = merge(finding.verdict for finding in findings)
    return StudyResult(STUDY.name, verdict, findings, table_of(columns), data_of(columns), time.monotonic() - began)


async def measure_level(target: Target, level: IsolationLevel, observer: Observer) -> Column:
    """Run every case at one level. Raises SQLAlchemy's own error if the table cannot be made or filled."""
    async with executor(target, level) as runs:
        had = await runs.level()
        if had is None:
            return Column(level, reason=f"{level}: SQLAlchemy's dialect for this database does not offer it")
        if had != level:
            return Column(level, reason=f"{level}: this database runs it as {had}")
        cells = []
        for case in CASES:
            observer.phase(f"{level}, {case.name}")
            outcome = await runs.run(case.schedule)
            cells.append(Cell(case, outcome, explain(outcome)))
            for _ in case.schedule.steps:
                observer.completed(Ended.OK)
        return Column(level, tuple(cells))


def judge(column: Column, known: Known) -> Finding:
    """Compare what a level showed with what is *known* of it.

    FAIL for an anomaly that it promises not to have; INCONCLUSIVE if the cluster lacks the level, for a case that was
    disturbed, and for an anomaly that is known and did not show: who misses it there could miss it elsewhere.
    """
    if not column.cells:
        return Finding(column.level, Verdict.INCONCLUSIVE, column.reason)
    shown = {cell.case.name: cell for cell in column.cells if cell.verdict is Verdict.FAIL}
    anomalies = tuple(Anomaly(name, (), cell.why) for name, cell in shown.items())
    name = column.level
    if broken := [cell for name, cell in shown.items() if name not in known.shows | known.may]:
        return Finding(name, Verdict.FAIL, "; ".join(f"{c.case.name}: {c.why}" for c in broken), (), anomalies)
    if unclear := [cell for cell in column.cells if cell.verdict is Verdict.INCONCLUSIVE]:
        why = f"{unclear[0].case.name}: {unclear[0].why}"
        return Finding(name, Verdict.INCONCLUSIVE, why, (), anomalies)
    if missing := [case.name for case in CASES if case.name in known.shows - set(shown)]:
        why = f"known to show {', '.join(missing)}, and did not: the oracle is not proven"
        return Finding(name, Verdict.INCONCLUSIVE, why, (), anomalies)
    return Finding(name, Verdict.PASS, _told(len(column.cells), list(shown)), (), anomalies)


def _told(cases: int, shown: Sequence[str]) -> str:
    if not shown:
        return f"{cases} cases, each explained by a serial order of what committed"
    return f"{cases} cases; the anomalies that this level lets happen: {', '.join(shown)}"


def table_of(columns: Sequence[Column]) -> StudyTable:
    """Return case x level."""
    rows = []
    for number, case in enumerate(CASES):
        marks = (column.cells[number].mark if column.cells else "-" for column in columns)
        rows.append((case.name, *marks))
    notes = ["waits: a step was blocked by another transaction; 40001, 40P01: the database ended one for another"]
    notes += [column.reason for column in columns if column.reason]
    if sum(bool(column.cells) for column in columns) == 1:
        notes.append("one level alone cannot show that the oracle sees anomalies; those of 'embedded' do")
    return StudyTable(("case", *(column.level for column in columns)), tuple(rows), tuple(notes))


def data_of(columns: Sequence[Column]) -> Json:
    """Return everything as JSON data: for each level its cases, with what every step met."""
    return [
        {"level": column.level, "not run": column.reason or None, "cases": [_cell_data(cell) for cell in column.cells]}
        for column in columns
    ]


def _cell_data(cell: Cell) -> Json:
    outcome = cell.outcome
    return {
        "case": cell.case.name,
        "title": cell.case.title,
        "verdict": cell.verdict.value,
        "why": cell.why,
        "serial order": [f"T{number}" for number in cell.explanation.order],
        "contradictions": list(cell.explanation.contradictions),
        "initial": msgspec.to_builtins(outcome.schedule.initial),
        "steps": [_seen_data(seen) for seen in outcome.seen],
        "fates": {f"T{number}": fate.value for number, fate in outcome.fates.items()},
        "final": msgspec.to_builtins(outcome.final),
    }


def _seen_data(seen: Seen) -> Json:
    return {
        "step": str(seen.step),
        "answer": msgspec.to_builtins(seen.answer),
        "sqlstate": seen.sqlstate,
        "error": seen.error,
        "blocked": seen.blocked and seen.blocked.value,
        "came back as": seen.done,
    }


STUDY = Study(
    name="hermitage",
    title="forced interleavings at every isolation level: which anomalies the database lets happen",
    says=(
        "at SERIALIZABLE what committed can be explained by a serial order, in every case",
        "the weaker levels show the anomalies that they are known for, and no others",
    ),
    run=measure,
)
