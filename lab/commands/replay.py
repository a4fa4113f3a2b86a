"""``lab replay``: recorded runs judged again, repeated on a cluster, or made smaller."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from lab.clusters import ClusterChoice
from lab.console import EXIT, FilePath, cluster_option, err, finish, json_option, out, print_json
from lab.errors import UsageError
from lab.journal import read_journal
from lab.replay import recheck, repeatable
from lab.report.figures import recheck_to_json, suite_to_json
from lab.report.terminal import Display, last_line, recheck_lines, summary_table
from lab.shrink import MOST_RUNS, TRIES, Shrunk, shrink
from lab.suite import run_suite
from lab.verdict import merge


@click.command()
@click.argument("journals", nargs=-1, required=True, type=FilePath(path_type=Path))
@click.option("--rerun", is_flag=True, help="repeat the plan of the one journal on a cluster, with its seed")
@click.option("--shrink", "smaller", is_flag=True, help="find a smaller plan that still fails, and print it")
@click.option("--tries", type=click.IntRange(1), default=TRIES, show_default=True, help="runs in which a plan may fail")
@click.option("--most", type=click.IntRange(1), default=MOST_RUNS, show_default=True, help="runs of a search at most")
@cluster_option
@json_option
def replay(
    journals: tuple[Path, ...],
    rerun: bool,
    smaller: bool,
    tries: int,
    most: int,
    cluster: ClusterChoice,
    as_json: bool,
) -> int:
    """Judge recorded runs again from their JOURNALS, without a database; or repeat one on a cluster."""
    if rerun and smaller:
        raise UsageError("--rerun repeats the plan and --shrink makes it smaller; choose one")
    if (rerun or smaller) and len(journals) > 1:
        raise UsageError("--rerun and --shrink take one journal")
    if rerun:
        return _rerun(journals[0], cluster, as_json)
    if smaller:
        return _shrink(journals[0], cluster, tries, most, as_json)
    judged = [recheck(path) for path in journals]
    if as_json:
        print_json([recheck_to_json(one) for one in judged])
    for one in () if as_json else judged:
        out.print(recheck_lines(one))
    return EXIT[merge(one.verdict for one in judged)]


def _rerun(path: Path, cluster: ClusterChoice, as_json: bool) -> int:
    journal = read_journal(path)
    scenario, plan = repeatable(path, journal)
    with Display(err, 1) as display:
        suite = finish(run_suite([scenario], cluster=cluster, seed=journal.run.seed, plan=plan, observer=display))
    if as_json:
        print_json(suite_to_json(suite))
    else:
        out.print(summary_table(suite))
        out.print(last_line(suite))
    return EXIT[suite.verdict]


def _shrink(path: Path, cluster: ClusterChoice, tries: int, most: int, as_json: bool) -> int:
    journal = read_journal(path)
    scenario, plan = repeatable(path, journal)
    found = finish(
        shrink(
            scenario,
            plan,
            cluster=cluster,
            seed=journal.run.seed,
            tries=tries,
            most=most,
            tell=lambda line: err.print(line, style="dim", markup=False, highlight=False, soft_wrap=True),
        )
    )
    err.print(said(found, len(plan.steps)), markup=False, highlight=False, soft_wrap=True)
    if as_json:
        print_json(shrunk_to_json(found))
    elif found.plan is not None:
        print_json(msgspec.to_builtins(found.plan.to_json()))
    return 1 if found.plan is not None else 3


def said(found: Shrunk, steps: int) -> str:
    """Return what a search found, in a sentence."""
    if found.plan is None:
        return f"it did not fail again in {found.runs} runs: nothing to make smaller"
    left = len(found.plan.steps)
    failed = ", ".join(sorted(found.checks))
    size = "without any fault" if not left else f"with {left} of {steps} steps"
    doubt = "" if found.complete else "; the runs ran out, so it may not be the smallest"
    return f"fails {size} ({failed}) after {found.runs} runs{doubt}"


def shrunk_to_json(found: Shrunk) -> dict[str, object]:
    """Return what a search found as JSON data; *plan* can be given to ``lab run --plan``."""
    plan = None if found.plan is None else msgspec.to_builtins(found.plan.to_json())
    return {"plan": plan, "checks": sorted(found.checks), "runs": found.runs, "complete": found.complete}
