"""``lab explore``: strike a business operation of the user's own at every moment of the wire it has."""

from __future__ import annotations

import click

from lab.atlas.cells import DRIVERS
from lab.clusters import ClusterChoice
from lab.commands._bar import counting
from lab.console import EXIT, cluster_option, err, finish, json_option, out, print_json
from lab.db.drivers import Driver
from lab.explore import UNKNOWN, Asked, Question, lines, matrix, run_exploration, to_json, verdict_of
from lab.loading import load_coroutine_function


@click.command()
@click.argument("unit", metavar="MODULE:UNIT")
@click.option(
    "--effects", metavar="MODULE:COUNT", required=True, help="async def count(session) -> int: effects so far"
)
@click.option("--setup", metavar="MODULE:FUNCTION", help="async def setup(engine): called once, before the clean run")
@click.option("--only", metavar="N:ACTION@SIDE", help="one case alone, such as 7:reset@reply")
@click.option("--unknown", metavar="NAME", multiple=True, help="exception class that says: it may have been done")
@click.option(
    "--driver", type=click.Choice(DRIVERS), default="asyncpg", show_default=True, help="driver of the sessions"
)
@click.option("--slow", is_flag=True, help="black holes as well; each lasts until the client's own bound")
@click.option(
    "--within",
    type=click.FloatRange(0, 3600, min_open=True),
    default=30.0,
    show_default=True,
    help="seconds that one run of the unit may take",
)
@cluster_option
@json_option
def explore(
    unit: str,
    effects: str,
    setup: str | None,
    only: str | None,
    unknown: tuple[str, ...],
    driver: Driver,
    slow: bool,
    within: float,
    cluster: ClusterChoice,
    as_json: bool,
) -> int:
    """Run the operation MODULE:UNIT once for each moment of the wire and each fault, and judge what it says.

    UNIT is async def unit(sessions), an operation that has exactly one effect; path/to/file.py:UNIT will do as well.
    It says done by returning, unknown by raising OutcomeUnknown or AmbiguousCommitError (or --unknown), else failed.
    """

    question = Question(
        unit=load_coroutine_function(unit, "the unit", "sessions"),
        count=load_coroutine_function(effects, "--effects", "session"),
        setup=load_coroutine_function(setup, "--setup", "engine") if setup else None,
        driver=driver,
        unknown=UNKNOWN | set(unknown),
        within=within,
        slow=slow,
        only=only,
    )
    asked = Asked(unit, effects, _options(setup, unknown, driver, within, cluster))
    with counting(err, "exploring") as tell:
        found = finish(run_exploration(question, tell, cluster=cluster))
    if as_json:
        print_json(to_json(found, asked))
    else:
        out.print(matrix(found, out.width), crop=False)
        for line in lines(found, asked):
            out.print(line, soft_wrap=True)
    return EXIT[verdict_of(found)]


def _options(
    setup: str | None, unknown: tuple[str, ...], driver: str, within: float, cluster: ClusterChoice
) -> tuple[str, ...]:
    """Return the options that a repetition needs: those that are not what they are by default."""
    given = [("--setup", setup), *(("--unknown", name) for name in unknown)]
    given += [("--driver", driver if driver != "asyncpg" else None)]
    given += [("--within", f"{within:g}" if within != 30.0 else None)]
    words = (word for name, value in given if value is not None for word in (name, value))
    return (*words, *cluster.arguments())
