"""Clusters that stay: ``lab up``, ``lab status``, ``lab down``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice, make_cluster
from lab.errors import EnvironmentProblem, UsageError, unknown_name
from lab.state import JSON, RunFolder, RunInfo, claim, survey, sweep

if TYPE_CHECKING:
    from lab.clusters.base import Cluster
    from lab.db.target import Target


async def bring_up(choice: str | ClusterChoice, *, seed: int) -> tuple[str, dict[str, JSON]]:
    """Start a cluster that outlives this process; return its id and its description (addresses, credentials)."""
    sweep()
    run = RunFolder.create("up")
    try:
        cluster = make_cluster(choice, run, seed=seed, detached=True)
        try:
            await cluster.start(cluster.starts_within)
            await cluster.healthy(cluster.heals_within)
            description = describe(cluster)
            run.describe(description)
            await cluster.leave_running()
        except BaseException:
            await to_its_end(cluster.stop(STOP))
            raise
        run.detach()
    except BaseException:
        run.remove(STOP)
        raise
    return run.id, description


def describe(cluster: Cluster) -> dict[str, JSON]:
    """Return what a user needs to connect to a cluster and to bend it."""
    return {
        "cluster": cluster.name,
        "about": cluster.about,
        "control": cluster.control.url,
        "nodes": {node.name: dsn(cluster.target, str(node.address)) for node in cluster.nodes},
        "direct": dsn(cluster.direct, str(cluster.direct.addresses[0])),
        "places": dict(cluster.places),
    }


def dsn(target: Target, address: str) -> str:
    """Return the address as a DSN for psql or any driver, with its credentials unless they are the user's own."""
    secret = f":{target.password}" if target.password and not target.private else ""
    return f"postgresql://{target.user}{secret}@{address}/{target.database}?sslmode={target.tls}"


def take_down(ids: Iterable[str]) -> list[RunInfo]:
    """Remove standing clusters and whatever dead runs have left, all or those named. Live runs are not touched.

    Returns those that were removed, without those that somebody else removed meanwhile.

    Raises UsageError for a name that is not there, or that belongs to a run in progress; EnvironmentProblem, once all
    others are removed, if one cannot be.
    """
    runs = {info.id: info for info in survey()}
    named = list(ids)
    for name in named:
        if name not in runs:
            raise unknown_name("cluster or run", name, runs) if runs else UsageError(f"'{name}': nothing is running")
        if runs[name].state == "live":
            raise UsageError(f"'{name}' is a run in progress; end it with Ctrl-C in its own terminal")
    chosen = [info for info in runs.values() if info.state != "live" and (not named or info.id in named)]
    removed: list[RunInfo] = []
    problems: list[EnvironmentProblem] = []
    for info in chosen:
        run = claim(info.path)
        if run is not None:
            try:
                run.remove(STOP)
            except EnvironmentProblem as problem:  # the others can go all the same
                run.let_go()
                problems.append(problem)
            else:
                removed.append(info)
    if problems:
        raise problems[0]
    return removed
