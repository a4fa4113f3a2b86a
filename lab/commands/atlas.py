"""``lab atlas``: measure what every fault looks like to an application, and what was true."""

from __future__ import annotations

from pathlib import Path

import click

from lab.atlas import Atlas, judge, run_atlas, to_json, to_markdown
from lab.clusters import ClusterChoice
from lab.commands._bar import counting
from lab.console import EXIT, FilePath, cluster_option, err, finish, json_option, out, print_json
from lab.errors import EnvironmentProblem


@click.command()
@cluster_option
@json_option
@click.option("--write", type=FilePath(dir_okay=False, path_type=Path), help="write the Markdown page to this file")
def atlas(cluster: ClusterChoice, as_json: bool, write: Path | None) -> int:
    """Measure fault x moment x driver: what the application sees, what was true, and what may be done.

    Prints the Markdown page, unless --json or --write asks for something else. Fails if a decision of the lab's own
    policy contradicts the truth.
    """

    with counting(err, "measuring") as tell:
        measured = finish(run_atlas(cluster=cluster, tell=tell))
    if write is not None:
        write_page(measured, write)
    if as_json:
        print_json(to_json(measured))
    elif write is None:
        out.print(to_markdown(measured), markup=False, soft_wrap=True, end="")
    else:
        out.print(f"{len(measured.cells)} cells written to {write}", markup=False, soft_wrap=True)
    for one in measured.cells:
        if not (one.safe and one.fired):
            problem = "the decision contradicts the truth" if one.fired else "the fault did not strike exactly once"
            err.print(f"{one.cell.name}: {problem}", markup=False, soft_wrap=True)
    return EXIT[judge(measured.cells)]


def write_page(measured: Atlas, path: Path) -> None:
    """Write the page; raise EnvironmentProblem if that is not possible."""
    try:
        path.write_text(to_markdown(measured), encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(f"cannot write {path}: {error.strerror}", "name another with --write") from error
