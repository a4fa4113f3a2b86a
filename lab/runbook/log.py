"""The drill log: one rehearsal as JSON and as Markdown, to be kept in a repository, beside those before it."""

from __future__ import annotations

import datetime
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from lab.errors import EnvironmentProblem, MalformedFile
from lab.runbook.record import FORMAT, Drill
from lab.runbook.stage import MILESTONES

NOTHING: Final = "-"
FIGURES: Final = (*MILESTONES, "error rate", "p99")


def write_drill(drill: Drill, folder: Path, journal: Path | None = None) -> tuple[Path, Path]:
    """Write RUNBOOK-TIME.json and RUNBOOK-TIME.md into *folder*, and return both; its *journal* is moved beside them.

    The Markdown shows the numbers of the drill before this one beside its own, if the folder has one of this runbook.
    Raises EnvironmentProblem if the folder cannot be written, MalformedFile for a drill in it that cannot be read.
    """
    earlier = read_drills(folder, drill.runbook)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stem = _free(folder, f"{drill.runbook}-{re.sub(r'[^0-9T]', '', drill.started.partition('+')[0])}")
        paths = folder / f"{stem}.json", folder / f"{stem}.md"
        if journal is not None:
            drill = msgspec.structs.replace(drill, journal=f"{stem}.jsonl")
            shutil.move(journal, folder / drill.journal)
        paths[0].write_bytes(msgspec.json.format(msgspec.json.encode(drill)) + b"\n")
        paths[1].write_text(markdown(drill, earlier[-1] if earlier else None), encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {folder}: {error.strerror}", "name another with --log") from error
    return paths


def unfinished(folder: Path) -> Path:
    """Return where the journal of a rehearsal is kept until it has come to its end: it must not tell a mystery."""
    now = datetime.datetime.now(datetime.UTC)
    return folder / f"unfinished-{now:%Y%m%dT%H%M%S}-{os.getpid()}.jsonl"


def _free(folder: Path, stem: str) -> str:
    number, name = 1, stem
    while any((folder / f"{name}{suffix}").exists() for suffix in (".json", ".jsonl")):
        number += 1
        name = f"{stem}-{number}"
    return name


def read_drills(folder: Path, runbook: str | None = None) -> list[Drill]:
    """Return the drills in a folder, of one runbook or all, the oldest first; none if there is no folder.

    Raises MalformedFile for a file that is no drill, or of a newer format.
    """
    drills = [read_drill(path) for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    chosen = [drill for drill in drills if runbook is None or drill.runbook == runbook]
    return sorted(chosen, key=lambda drill: drill.started)


def read_drill(path: Path) -> Drill:
    """Return the drill of a file; raise MalformedFile if it is none."""
    try:
        drill = msgspec.json.decode(path.read_bytes(), type=Drill)
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFile(str(path), 0, f"no drill log: {error}") from error
    if drill.format > FORMAT:
        raise MalformedFile(str(path), 0, f"format {drill.format} is newer than this program; upgrade it")
    return drill


def figures(drill: Drill) -> dict[str, float | None]:
    """Return the figures by which drills are compared: seconds to each milestone, error rate (share), p99 (s)."""
    times = {name: getattr(drill.times, name) for name in MILESTONES}
    return {**times, "error rate": drill.service.error_rate, "p99": drill.service.p99}


def figure(name: str, value: float | None) -> str:
    """Return a figure as people read it."""
    if value is None:
        return NOTHING
    return f"{value:.1%}" if name == "error rate" else f"{value:.2f} s"


def change(name: str, now: float | None, before: float | None) -> str:
    """Return how a figure has changed; a dash if one of the two is not known."""
    if now is None or before is None:
        return NOTHING
    return f"{(now - before) * 100:+.1f} points" if name == "error rate" else f"{now - before:+.2f} s"


def markdown(drill: Drill, before: Drill | None) -> str:
    """Return the log as Markdown."""
    return "\n".join([*_head(drill), *_figures_table(drill, before), *_steps_table(drill), *_findings(drill), ""])


def _head(drill: Drill) -> list[str]:
    guessed = [f"| diagnosis | {_cell(drill.diagnosis)} |"] if drill.diagnosis else []
    kept = [f"| journal | [{drill.journal}](<{drill.journal}>) |"] if drill.journal else []
    struck = [f"| node | {drill.node} |"] if drill.node else []
    return [
        f"# Drill: {drill.title}",
        "",
        f"**{drill.verdict}** on {drill.started}",
        "",
        "| | |",
        "|---|---|",
        f"| runbook | {drill.runbook} |",
        f"| mode | {drill.mode}, seed {drill.seed} |",
        f"| cluster | {_cell(drill.cluster)} |",
        *struck,
        *guessed,
        *kept,
        "",
    ]


def _figures_table(drill: Drill, before: Drill | None) -> list[str]:
    bounds = {"error rate": drill.bounds.get("error_rate"), "p99": drill.bounds.get("p99")}
    last = "" if before is None else f" last drill ({before.started}, {before.mode}) | change |"
    lines = [
        "## Figures",
        "",
        f"| | this drill | bound |{last}",
        "|---|---|---|" + ("---|---|" if before else ""),
    ]
    now = figures(drill)
    for name in FIGURES:
        row = f"| {_label(name)} | {figure(name, now[name])} | {figure(name, bounds.get(name))} |"
        if before is not None:
            then = figures(before)[name]
            row += f" {figure(name, then)} | {change(name, now[name], then)} |"
        lines.append(row)
    return [*lines, ""]


def _label(name: str) -> str:
    return f"time to {name}" if name in MILESTONES else f"{name} during the incident"


def _steps_table(drill: Drill) -> list[str]:
    mark = {True: "yes", False: "**no**", None: ""}
    rows = [
        f"| {step.at:.2f} s | {step.section} | `{_cell(step.text)}` | {_cell(step.shown)} | {mark[step.held]} |"
        for step in drill.steps
    ]
    return [
        "## What was done",
        "",
        "| at | section | command | result | as expected |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]


def _findings(drill: Drill) -> list[str]:
    judged = [f"- {finding.verdict}: {finding.check}: {_cell(finding.why)}" for finding in drill.findings]
    struck = [f"- {span.fault}: {_cell(span.note) or 'no evidence'}" for span in drill.faults]
    return ["## Findings", "", *judged, "", "## What was injected", "", *(struck or ["- nothing"])]


def _cell(text: str) -> str:
    """Return a text that stays within its cell."""
    return "; ".join(part.strip() for part in text.replace("|", "\\|").splitlines() if part.strip())


def comparison(drills: Iterable[Drill]) -> list[str]:
    """Return a line for each drill: when, verdict, how, where, and all figures, in columns below their names."""
    rows = [["runbook", "started", "verdict", "mode", "cluster", *FIGURES]]
    for drill in drills:
        shown = [figure(name, value) for name, value in figures(drill).items()]
        where = drill.cluster.partition(":")[0]
        rows.append([drill.runbook, drill.started[:19], drill.verdict.value, drill.mode, where, *shown])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
