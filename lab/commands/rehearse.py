"""``lab rehearse``: a runbook, rehearsed with a clock running."""

from __future__ import annotations

import secrets
from dataclasses import asdict
from pathlib import Path

import click
import msgspec
from rich.table import Table

from lab.clusters import ClusterChoice
from lab.console import (
    EXIT,
    LARGEST_SEED,
    USAGE,
    FilePath,
    cluster_option,
    err,
    finish,
    json_option,
    out,
    print_json,
    seed_option,
)
from lab.errors import UsageError
from lab.runbook import Drill, automatic, find, mystery, problems_of, shipped
from lab.runbook import rehearse as play
from lab.runbook.desk import Desk, Terminal
from lab.runbook.log import FIGURES, comparison, figure, figures, read_drills, unfinished, write_drill

STYLES = {"pass": "green", "fail": "bold red", "inconclusive": "yellow"}


@click.command()
@click.argument("runbooks", nargs=-1, metavar="[RUNBOOK]...")
@cluster_option
@seed_option
@json_option
@click.option("--operator", is_flag=True, help="a person acts; the lab watches the clock and verifies the remedy")
@click.option("--mystery", "is_mystery", is_flag=True, help="a person acts, and is not told what was injected")
@click.option(
    "--log", type=FilePath(file_okay=False, path_type=Path), help="keep the drill log and its journal in this folder"
)
@click.option("--check", "only_check", is_flag=True, help="only validate runbooks, or folders of them; all by default")
@click.option("--list", "only_list", is_flag=True, help="name the shipped runbooks, and what they need")
@click.option("--compare", is_flag=True, help="show the drills in the folder of --log side by side")
def rehearse(
    runbooks: tuple[str, ...],
    cluster: ClusterChoice,
    seed: int | None,
    as_json: bool,
    operator: bool,
    is_mystery: bool,
    log: Path | None,
    only_check: bool,
    only_list: bool,
    compare: bool,
) -> int:
    """Rehearse the incident of a RUNBOOK, by its name or path, step by step and with a clock running."""
    asked = [
        name
        for name, given in (
            ("--operator", operator),
            ("--mystery", is_mystery),
            ("--check", only_check),
            ("--list", only_list),
            ("--compare", compare),
        )
        if given
    ]
    if len(asked) > 1:
        raise UsageError(f"{' and '.join(asked)} do not go together; choose one")
    if only_check:
        return check_all(runbooks, as_json)
    if only_list:
        return list_all(as_json)
    if compare:
        return compare_all(runbooks, log, as_json)
    journal = unfinished(log) if log is not None else None
    mode = "mystery" if is_mystery else "operator" if operator else "automatic"
    drill = finish(_rehearsal(runbooks, cluster, seed, mode, journal))
    paths = write_drill(drill, log, journal) if log is not None else ()
    if as_json:
        print_json(msgspec.to_builtins(drill))
    else:
        _show(drill)
    for path in paths[-1:]:
        err.print(f"the log: {path}", style="dim", markup=False, soft_wrap=True)
    return EXIT[drill.verdict]


async def _rehearsal(
    names: tuple[str, ...], cluster: ClusterChoice, seed: int | None, mode: str, journal: Path | None
) -> Drill:
    seed = secrets.randbelow(LARGEST_SEED) if seed is None else seed
    if mode != "mystery" and len(names) != 1:
        raise UsageError("name one runbook to rehearse; lab rehearse --list names those that there are")
    among = [find(name) for name in names or shipped()]
    chosen = mystery(among, seed) if mode == "mystery" else among[0]
    player = automatic if mode == "automatic" else Desk(Terminal(), mystery=mode == "mystery")
    return await play(chosen, cluster=cluster, seed=seed, player=player, mode=mode, say=_say, journal=journal)


def _say(line: str) -> None:
    err.print(line, markup=False, soft_wrap=True)


def check_all(names: tuple[str, ...], as_json: bool) -> int:
    """Validate runbooks without running anything: exit code 0, or 2 with every problem by file and line."""
    paths = [Path(shipped()[name]) if name in shipped() else Path(name) for name in names]
    count, problems = problems_of(paths)
    if as_json:
        found = [{"path": p.path, "line": p.line, "problem": p.problem} for p in problems]
        print_json({"runbooks": count, "problems": found})
    else:
        for problem in problems:
            out.print(str(problem), markup=False, soft_wrap=True)
        many = "1 runbook" if count == 1 else f"{count} runbooks"
        out.print(f"{many}, {len(problems)} problems" if problems else f"{many} in order")
    return USAGE if problems else 0


def list_all(as_json: bool) -> int:
    """Name the shipped runbooks."""
    found = [find(name) for name in shipped()]
    if as_json:
        print_json(
            [
                {"name": r.name, "title": r.title, "needs": sorted(r.needs), "bounds": asdict(r.bounds), "path": r.path}
                for r in found
            ]
        )
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("runbook", "title", "needs"):
        table.add_column(heading, no_wrap=heading == "runbook")
    for runbook in found:
        table.add_row(runbook.name, runbook.title, ", ".join(sorted(runbook.needs)) or "-")
    out.print(table)
    return 0


def compare_all(names: tuple[str, ...], log: Path | None, as_json: bool) -> int:
    """Show earlier drills side by side, the oldest first."""
    if log is None:
        raise UsageError("--compare wants the folder of the drill logs: --log DIR")
    drills = [drill for drill in read_drills(log) if not names or drill.runbook in names]
    if not drills:
        raise UsageError(f"there is no drill log{' of ' + ', '.join(names) if names else ''} in '{log}'")
    if as_json:
        print_json(
            [
                {"runbook": d.runbook, "mode": d.mode, "started": d.started, "verdict": d.verdict.value, **figures(d)}
                for d in drills
            ]
        )
        return 0
    for row in comparison(drills):
        out.print(row, markup=False, soft_wrap=True)
    return 0


def _show(drill: Drill) -> None:
    out.print()
    out.print(f"{drill.title}: [{STYLES[drill.verdict.value]}]{drill.verdict}[/]")
    now = figures(drill)
    out.print("   ".join(f"{name} {figure(name, now[name])}" for name in FIGURES), markup=False, soft_wrap=True)
    for finding in drill.findings:
        style = STYLES[finding.verdict.value]
        out.print(f"  [{style}]{finding.verdict:<12}[/] ", end="")
        out.print(f"{finding.check}: {finding.why}", markup=False, soft_wrap=True)
    out.print(f"seed {drill.seed}, {drill.cluster}", style="dim", markup=False, soft_wrap=True)
