"""``lab validate``: a scorecard for a retry policy."""

from __future__ import annotations

from pathlib import Path

import click

from lab.clusters import ClusterChoice
from lab.console import EXIT, LARGEST_SEED, FilePath, cluster_option, err, finish, json_option, out, print_json
from lab.errors import EnvironmentProblem
from lab.validate import CaseResult, load_policy, to_json
from lab.validate import validate as judge_policy
from lab.validate.cases import CASES
from lab.validate.output import badge as badge_of
from lab.validate.output import case_line, scorecard
from lab.validate.output import junit as junit_of
from lab.validate.runner import DEADLINE


@click.command()
@click.argument("policy", metavar="MODULE:POLICY")
@cluster_option
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="decides the proxies' draws"
)
@json_option
@click.option(
    "--deadline",
    type=click.FloatRange(1.0, 600.0),
    default=DEADLINE,
    show_default=True,
    help="seconds in which the policy has to answer, whatever happens",
)
@click.option(
    "--unknown", multiple=True, metavar="NAME", help="an exception class that says 'unknown'; may be repeated"
)
@click.option("--junit", type=FilePath(dir_okay=False, path_type=Path), help="write JUnit XML to this file")
@click.option("--badge", type=FilePath(dir_okay=False, path_type=Path), help="write an SVG badge to this file")
@click.option("--verbose", "-v", is_flag=True, help="print a line for every case, not only for those that do not pass")
def validate(
    policy: str,
    cluster: ClusterChoice,
    seed: int,
    as_json: bool,
    deadline: float,
    unknown: tuple[str, ...],
    junit: Path | None,
    badge: Path | None,
    verbose: bool,
) -> int:
    """Judge the retry policy MODULE:POLICY, or path/to/file.py:POLICY, with faults at exact moments.

    A policy is an async function (sessions, work), or with the keyword key; a synchronous one is taken as well.
    """

    def ended(case: CaseResult) -> None:
        if verbose or err.is_terminal:
            err.print(case_line(case), highlight=False, no_wrap=True, overflow="ellipsis")

    chosen = load_policy(policy, unknown=unknown)
    for path in (junit, badge):
        if path is not None:
            _write(path, "")  # what cannot be written is told before the run, not after it
    err.print(f"{policy}: {len(CASES)} cases", style="dim", markup=False, emoji=False)
    card = finish(judge_policy(chosen, cluster=cluster, seed=seed, deadline=deadline, ended=ended))
    if junit is not None:
        _write(junit, junit_of(card))
    if badge is not None:
        _write(badge, badge_of(card))
    if as_json:
        print_json(to_json(card))
    else:
        out.print(scorecard(card))
    return EXIT[card.verdict]


def _write(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}", "name another file") from error
