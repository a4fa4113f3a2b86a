"""An audit for people, as lines of a terminal, and for machines, as JSON; both are pure functions of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from lab.audit.findings import Audit, Finding
from lab.audit.rule import Rule


def report(audit: Audit) -> RenderableType:
    """Return what the terminal shows: by file, each finding with its place, why, proof and mend, and a last line."""
    return Group(*_lines(audit), _summary(audit))


def _lines(audit: Audit) -> Iterator[Text]:
    for path, findings in groupby(audit.findings, key=lambda one: one.path):
        yield Text(path, style="bold")
        told: set[str] = set()
        for one in findings:
            yield from _finding(one, again=one.rule.code in told)
            told.add(one.rule.code)
        yield Text("")
    for trouble in audit.troubles:
        place = f"{trouble.path}:{trouble.line}" if trouble.line else trouble.path
        yield Text.assemble((f"{place}: ", "bold"), (trouble.problem, "red"))
    for skipped in audit.skipped:
        yield Text(f"{skipped.path}: skipped: {skipped.why}", style="dim")


def _finding(one: Finding, *, again: bool) -> Iterator[Text]:
    rule = one.rule
    yield Text.assemble(f"  {one.line}:{one.column} ", (rule.code, "red"), f" {rule.title}: {one.seen}")
    if one.source:
        yield Text(f"      {one.source}", style="dim")
    if not again:  # once a file is enough
        yield Text(f"      why   {rule.why}")
        yield Text(f"      proof {command(rule)}")
        yield Text(f"      mend  {rule.mend}")


def command(rule: Rule) -> str:
    """Return the command that shows what a rule says."""
    return f"lab {rule.proof}"


def _summary(audit: Audit) -> Text:
    counts = [_count(len(audit.findings), "finding")]
    if audit.troubles:
        counts.append(f"{_count(len(audit.troubles), 'file')} not judged")
    if audit.skipped:
        counts.append(f"{len(audit.skipped)} skipped")
    return Text(f"{_count(audit.files, 'file')}: {', '.join(counts)}", style="green" if audit.good else "red")


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def to_json(audit: Audit) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "files": audit.files,
        "findings": [
            {
                "code": one.rule.code,
                "title": one.rule.title,
                "path": one.path,
                "line": one.line,
                "column": one.column,
                "seen": one.seen,
                "source": one.source,
                "why": one.rule.why,
                "proof": command(one.rule),
                "mend": one.rule.mend,
            }
            for one in audit.findings
        ],
        "troubles": [{"path": one.path, "line": one.line, "problem": one.problem} for one in audit.troubles],
        "skipped": [{"path": one.path, "why": one.why} for one in audit.skipped],
    }
