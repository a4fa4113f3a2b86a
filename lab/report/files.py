"""What ``--report DIR`` leaves in the folder, beside the journals."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from rich.console import Console

from lab.errors import EnvironmentProblem
from lab.report.figures import suite_to_json
from lab.report.terminal import last_line, refused_lines, study_tables, summary_table, verdict_line
from lab.suite import Suite

WIDTH = 128
"""Columns of the picture."""


def write_report(suite: Suite, folder: Path, titles: dict[str, str]) -> None:
    """Write results.json (as ``lab run --json``) and summary.svg (what the terminal shows) into *folder*.

    Raises EnvironmentProblem if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(suite_to_json(suite))))
        (folder / "summary.svg").write_text(picture(suite, titles), encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {folder}: {error.strerror}", "name another with --report") from error


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
