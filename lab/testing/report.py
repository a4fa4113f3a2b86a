"""The page of a test session: the scenarios of its tests, from their journals, and what is known of each test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lab.errors import EnvironmentProblem, MalformedFile
from lab.journal import read_journal
from lab.report.junit import junit_xml
from lab.report.page.content import Part, Report, part_of
from lab.report.page.html import page_html
from lab.studies.base import StudyResult, StudyTable
from lab.verdict import Finding, Verdict, merge

VERDICTS: Final = {"passed": Verdict.PASS, "xfailed": Verdict.PASS, "failed": Verdict.FAIL, "error": Verdict.FAIL}
"""Of a test by its outcome; one that was skipped halfway shows nothing."""

TITLE: Final = "what each test met, and what its faults did"


def write_pages(folder: Path, tests: Sequence[Mapping[str, Any]], about: str) -> None:
    """Write report.html and junit.xml about *tests*, as results.json holds them, into *folder*.

    Journals are those that a test names, below *folder*. Raises EnvironmentProblem if that is not possible.
    """
    report = report_of_tests(folder, tests, about)
    for name, text in (("report.html", page_html(report)), ("junit.xml", junit_xml(report))):
        try:
            (folder / name).write_bytes(text.encode("utf-8", "replace"))
        except OSError as error:
            raise EnvironmentProblem(
                f"cannot write {folder / name}: {error.strerror}", "name another folder with --lab-report"
            ) from error


def report_of_tests(folder: Path, tests: Sequence[Mapping[str, Any]], about: str) -> Report:
    """Return the report: a part for each journal, and a table with a row for each fault of each test."""
    findings = tuple(_finding(test) for test in tests)
    rows = tuple(row for test in tests for row in _rows(test))
    seconds = sum(float(test.get("seconds", 0.0)) for test in tests)
    table = StudyTable(("test", "outcome", "fault", "events", "applied", "evidence"), rows)
    verdict = merge(finding.verdict for finding in findings)
    study = StudyResult("tests", verdict, findings, table, None, seconds)
    return Report(about, tuple(_parts(folder, tests)), (study,), titles={"tests": TITLE})


def _parts(folder: Path, tests: Iterable[Mapping[str, Any]]) -> Iterable[Part]:
    for test in tests:
        for name in test.get("journals", ()):
            try:
                recorded = read_journal(folder / name)
            except MalformedFile:  # refused before it began: the test says so
                continue
            cut = "" if recorded.history.complete else "Incomplete: the journal was cut. It is reported up to there."
            title = f"{test['test']}: {test['outcome']}"
            yield part_of(recorded, recorded.findings, title, name, cut)


def _finding(test: Mapping[str, Any]) -> Finding:
    faults = [f"{one['fault']}: {one['note'] or 'no evidence'}" for one in test["faults"]]
    said = [*test.get("experiments", ()), *faults, *([test["why"]] if test.get("why") else [])]
    verdict = VERDICTS.get(test["outcome"], Verdict.INCONCLUSIVE)
    return Finding(test["test"], verdict, f"{test['outcome']}; {'; '.join(said) or 'no fault was armed'}")


def _rows(test: Mapping[str, Any]) -> Iterable[tuple[str, ...]]:
    head = (test["test"], test["outcome"])
    if not test["faults"]:
        yield (*head, "none", "-", "-", "; ".join(test.get("experiments", ())) or "-")
    for one in test["faults"]:
        yield (*head, one["fault"], str(one["events"]), str(one["applied"]), one["note"] or "-")
