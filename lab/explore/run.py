"""An exploration in one call: a cluster of its own, the user's functions, and nothing left behind."""

from __future__ import annotations

from contextlib import AsyncExitStack

from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice
from lab.db.quiet import quiet_drivers
from lab.explore.explorer import Exploration, Question, Tell, explore
from lab.suite import open_cluster


async def run_exploration(
    question: Question, tell: Tell, *, cluster: str | ClusterChoice = "embedded", seed: int = 0
) -> Exploration:
    """Start a cluster, explore, and end it.

    Raises UsageError for a unit that cannot be explored or an unknown cluster, EnvironmentProblem if this machine
    cannot run it.
    """
    async with AsyncExitStack() as stack:
        run, made = open_cluster(cluster, seed)
        stack.callback(run.remove, STOP)
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        await made.start(made.starts_within)
        with quiet_drivers():
            return await explore(made, question, tell)
