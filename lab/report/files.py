"""What ``--report DIR`` leaves in the folder, beside the journals."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from lab.errors import EnvironmentProblem
from lab.report.figures import suite_to_json
from lab.report.junit import junit_xml
from lab.report.markdown import summary_md
from lab.report.page.content import Report, report_of_suite
from lab.report.page.html import page_html
from lab.report.terminal import last_line, refused_lines, study_tables, summary_table, verdict_line
from lab.suite import Suite

WIDTH = 128
"""Columns of the picture."""


def write_report(suite: Suite, folder: Path, titles: dict[str, str]) -> None:
    """Write the report of a suite into *folder*, for people and for machines.

    results.json (as ``lab run --json``), summary.svg (what the terminal shows), report.html, junit.xml, summary.md.
    Raises EnvironmentProblem if the folder cannot be written.
    """
    write_pages(report_of_suite(suite, titles), folder)
    with _writing(folder):
        (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(suite_to_json(suite))))
        (folder / "summary.svg").write_text(picture(suite, titles), encoding="utf-8")


def write_pages(report: Report, folder: Path) -> None:
    """Write report.html, junit.xml and summary.md into *folder*; raise EnvironmentProblem if that is not possible."""
    pages = {"report.html": page_html(report), "junit.xml": junit_xml(report), "summary.md": summary_md(report)}
    with _writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in pages.items():
            _write(folder / name, text)


def write_page(report: Report, file: Path) -> None:
    """Write the page alone; raise EnvironmentProblem if that is not possible."""
    with _writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(file, page_html(report))


def _write(file: Path, text: str) -> None:
    file.write_bytes(text.encode("utf-8", "replace"))  # a name may hold half a character


@contextlib.contextmanager
def _writing(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {place}: {error.strerror}", "name another place with --report or --out"
        ) from error


def picture(suite: Suite, titles: dict[str, str]) -> str:
    """Return an SVG of what a terminal shows at the end of a run."""
    with Path("/dev/null").open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        for result in suite.results:
            console.print(verdict_line(result, titles.get(result.scenario, "")), highlight=False)
        for study in suite.studies:
            console.print(verdict_line(study, titles.get(study.name, "")), highlight=False)
        console.print()
        if suite.results or not suite.studies:
            console.print(summary_table(suite))
        for part in study_tables(suite):
            console.print(part)
        for line in refused_lines(suite):
            console.print(line)
        console.print(last_line(suite))
        # rich's template loads its font from the network; the reader's own monospace font does as well.
        return re.sub(r"@font-face\s*{[^}]*}\s*", "", console.export_svg(title="lab run"))
