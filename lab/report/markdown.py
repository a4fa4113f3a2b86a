"""A summary in Markdown, as pages of CI show it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from lab.history import Outcome
from lab.report.page.content import Part, Report, ledger_of
from lab.studies.base import StudyResult
from lab.verdict import Finding, Verdict

MARKS = {Verdict.PASS: "✅ pass", Verdict.FAIL: "❌ **fail**", Verdict.INCONCLUSIVE: "❔ **inconclusive**"}
HEADINGS = ("scenario", "verdict", "ok", "failed", "unknown", "attempts/commit", "p50 ms", "p99 ms", "recovery s")
SPECIAL = re.compile(r"([\\`*_\[\]!|<>~&@]|^[#+=-]|^\d+(?=[.)]))")


def summary_md(report: Report) -> str:
    """Return the report as Markdown: a table of runs, what did not pass and why, and the tables of studies."""
    counted = report.counted
    said = ", ".join(f"{counted[verdict]} {verdict.value}" for verdict in Verdict)
    lines = [f"## {MARKS[report.verdict]}: {said}", "", _safe(report.about), ""]
    if report.parts:
        headings = (
            "scenario",
            "verdict",
            "ok",
            "failed",
            "unknown",
            "attempts/commit",
            "p50 ms",
            "p99 ms",
            "recovery s",
        )
        lines += [*_table(headings, map(_row, report.parts)), ""]
    for part in report.parts:
        lines += _complaints(part.name, part.findings, [*_remark(part), *_wrong_units(part)])
    for study in report.studies:
        lines += [*_study(study), *_complaints(study.name, study.findings, [])]
    for name, lacks in report.refused:
        lines += [f"- not run: {_safe(name)}, as the cluster has no {_safe(', '.join(lacks))}"]
    return "\n".join(lines).rstrip() + "\n"


def _row(part: Part) -> list[str]:
    shown = part.figures
    figures = (
        shown.ok,
        shown.fail,
        shown.info,
        shown.attempts_per_commit,
        _ms(shown.p50),
        _ms(shown.p99),
        shown.recovery,
    )
    return [_safe(part.name), MARKS[part.verdict or Verdict.INCONCLUSIVE], *map(_figure, figures)]


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 1)


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _remark(part: Part) -> list[str]:
    return [f"- {_safe(part.remark)}"] if part.remark else []


def _wrong_units(part: Part) -> list[str]:
    ledger = ledger_of(part.recorded.history) or {}
    said = {Outcome.OK: "done", Outcome.FAIL: "failed", Outcome.INFO: "unknown"}
    wrong = [(outcome, entry) for outcome, row in ledger.items() for entry in row if entry.units and entry.wrong]
    return [f"- {entry.units:,} units said to be {said[outcome]}: {entry.word}" for outcome, entry in wrong]


def _complaints(name: str, findings: Iterable[Finding], more: list[str]) -> list[str]:
    bad = [finding for finding in findings if finding.verdict is not Verdict.PASS]
    told = [f"- {MARKS[finding.verdict]} **{_safe(finding.check)}**: {_safe(finding.why)}" for finding in bad]
    return [f"### {_safe(name)}", "", *more, *told, ""] if told or more else []


def _study(study: StudyResult) -> list[str]:
    rows = ([_safe(cell) for cell in row] for row in study.table.rows)
    notes = [line for note in study.table.notes for line in (_safe(note), "")]
    head = f"### {_safe(study.name)}: {MARKS[study.verdict]}"
    return [head, "", *_table([_safe(column) for column in study.table.columns], rows), "", *notes]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows)]


def _safe(text: str) -> str:
    """Return text that Markdown shows as it is, in one line."""
    return SPECIAL.sub(r"\\\1", " ".join(text.split())) if text else "-"
