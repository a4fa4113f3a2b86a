"""``lab run``: scenarios on a cluster, judged."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
import msgspec

from faults.errors import MalformedPlan
from faults.plan import Plan
from lab.clusters import ClusterChoice
from lab.console import (
    EXIT,
    LARGEST_SEED,
    FilePath,
    cluster_option,
    err,
    finish,
    json_option,
    out,
    print_json,
    seed_option,
)
from lab.db.engine import IsolationLevel
from lab.errors import MalformedFile, UsageError, unknown_name
from lab.recorder import Recorder
from lab.report.figures import suite_to_json
from lab.report.terminal import Display, last_line, refused_lines, study_tables, summary_table
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS, choose
from lab.studies.base import Study
from lab.suite import Suite, SuiteObserver, run_suite

ISOLATION: dict[str, IsolationLevel] = {
    "serializable": "SERIALIZABLE",
    "repeatable-read": "REPEATABLE READ",
    "read-committed": "READ COMMITTED",
}


@click.command()
@click.argument("scenarios", nargs=-1)
@cluster_option
@seed_option
@json_option
@click.option("--workload", help="run them with this workload in place of their own; see lab list")
@click.option(
    "--isolation",
    type=click.Choice(list(ISOLATION)),
    help="of the application's transactions; weaker ones show what serializable keeps out",
)
@click.option(
    "--report", type=FilePath(file_okay=False, path_type=Path), help="keep journals and results in this folder"
)
@click.option(
    "--plan", "plan_file", type=FilePath(path_type=Path), help="strike with the plan of this JSON file instead"
)
@click.option("--live", is_flag=True, help="serve the report on 127.0.0.1 while it runs, and print its address")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="of the live view  [default: a free one]")
def run(
    scenarios: tuple[str, ...],
    cluster: ClusterChoice,
    seed: int | None,
    as_json: bool,
    workload: str | None,
    isolation: str | None,
    report: Path | None,
    plan_file: Path | None,
    live: bool,
    port: int,
) -> int:
    """Run SCENARIOS and studies (all scenarios by default) and judge what happened."""
    chosen, studies = choose_both(scenarios, workload)
    for option, given in (("--plan", plan_file), ("--workload", workload), ("--isolation", isolation)):
        if given and not chosen:
            raise UsageError(f"{option} is for scenarios; name one")
    if isolation:
        chosen = [scenario.with_isolation(ISOLATION[isolation]) for scenario in chosen]
    plan = read_plan(plan_file) if plan_file else None
    seed = secrets.randbelow(LARGEST_SEED) if seed is None else seed
    if port and not live:
        raise UsageError("--port is for the live view; add --live")
    begin = functools.partial(
        run_suite,
        chosen,
        cluster=cluster,
        seed=seed,
        report=report,
        plan=plan,
        skip_unable=not scenarios,
        studies=studies,
    )
    with Display(err, len(chosen) + len(studies)) as display:
        suite = finish(_watched(begin, display, port) if live else begin(observer=display))
    if report is not None:
        from lab.report.files import write_report  # with numpy, which a run without a report can do without

        titles = {scenario.name: scenario.title for scenario in chosen}
        write_report(suite, report, titles | {study.name: study.title for study in studies})
    if as_json:
        print_json(suite_to_json(suite))
    else:
        out.print()
        if chosen:
            out.print(summary_table(suite))
        for line in study_tables(suite):
            out.print(line)
        for line in refused_lines(suite):
            out.print(line)
        out.print(last_line(suite))
    return EXIT[suite.verdict]


class _Begin(Protocol):
    def __call__(
        self, *, observer: SuiteObserver, watch: Callable[[Recorder], None] | None = None
    ) -> Coroutine[Any, Any, Suite]: ...


async def _watched(begin: _Begin, display: Display, port: int) -> Suite:
    from lab.report.live import LiveRun  # with numpy and a server
    from lab.report.live_server import live_view

    live = LiveRun(display)
    async with live_view(live.report, port) as server:
        err.print(f"live: http://127.0.0.1:{server.port}/", markup=False, soft_wrap=True)
        suite = await begin(observer=live, watch=live.watch)
        live.ended(suite)
        return suite


def choose_both(names: Sequence[str], workload: str | None = None) -> tuple[list[Scenario], list[Study]]:
    """Return the scenarios and the studies of these names, or all scenarios; raise UsageError for an unknown name.

    Scenarios come with *workload*, if one is named, in place of their own.
    """
    scenarios = [name for name in names if name in SCENARIOS]
    studies = [_study(name) for name in names if name not in SCENARIOS]
    return choose(scenarios, workload) if scenarios or not studies else [], studies


def _study(name: str) -> Study:
    from lab.studies.shipped import STUDIES  # with the libraries that they are about

    if name not in STUDIES:
        known = [*SCENARIOS, *STUDIES]
        raise unknown_name("scenario or study", name, _meant(name, known))
    return STUDIES[name]


def _meant(name: str, known: Sequence[str]) -> list[str]:
    """Return the names that somebody may have meant: those of a family only if that or the very name was given."""
    return [one for one in known if "/" in name or "/" not in one or one.endswith(f"/{name}")]


def read_plan(path: Path) -> Plan:
    """Read a plan; raise MalformedFile with the line or the step that is wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error
    try:
        return Plan.from_json(msgspec.json.decode(text))
    except MalformedPlan as error:
        raise MalformedFile(str(path), 0, str(error)) from error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedFile(str(path), _line_of(text, str(error)), str(error)) from error


def _line_of(text: bytes, problem: str) -> int:
    """Return the line (1-based) of a JSON error, which names a byte; the last line for an end that came too soon."""
    digits = problem.rpartition("byte ")[2].rstrip(")")
    return text.count(b"\n", 0, int(digits) if digits.isdecimal() else len(text)) + 1
