"""The whole atlas in one call: a cluster of its own, every cell, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from importlib.metadata import version

from lab.atlas.cells import all_cells
from lab.atlas.measure import measure
from lab.atlas.render import Atlas
from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice
from lab.clusters.base import Cluster
from lab.db.quiet import quiet_drivers
from lab.errors import UsageError
from lab.suite import open_cluster

PACKAGES = ("sqlalchemy", "asyncpg", "psycopg")


def silent(_total: int) -> None:
    """Hear of progress, and tell nobody."""


async def run_atlas(
    *, cluster: str | ClusterChoice = "embedded", seed: int = 0, tell: Callable[[int], object] = silent
) -> Atlas:
    """Start a cluster, measure every cell, and end it. *tell* hears the number of cells once for each that is done.

    Raises UsageError for an unknown cluster, EnvironmentProblem if this machine cannot run it.
    """
    async with AsyncExitStack() as stack:
        run, made = open_cluster(cluster, seed)
        stack.callback(run.remove, STOP)
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        await made.start(made.starts_within)
        return await atlas_of(made, tell=tell)


async def atlas_of(cluster: Cluster, *, tell: Callable[[int], object] = silent) -> Atlas:
    """Measure every cell on a started *cluster*."""
    if len(cluster.direct.addresses) != 1:
        raise UsageError(f"the atlas is measured on one server; the cluster '{cluster.name}' has several")
    cells = all_cells()
    with quiet_drivers():
        measured = await measure(cluster, cells, tell=lambda: tell(len(cells)))
    return Atlas(f"{cluster.about}; {', '.join(f'{name} {version(name)}' for name in PACKAGES)}", measured)
