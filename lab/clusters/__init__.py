"""Clusters by name. To add one: write its module against `base.Cluster`, and name it here."""

from __future__ import annotations

from collections.abc import Callable

from lab.clusters.base import Cluster
from lab.clusters.embedded import EmbeddedCluster
from lab.errors import unknown_name
from lab.state import RunFolder

CLUSTERS: dict[str, Callable[..., Cluster]] = {"embedded": EmbeddedCluster}


def make_cluster(name: str, run: RunFolder, *, seed: int, detached: bool = False) -> Cluster:
    """Return the cluster of that name, not started; a *detached* one outlives this process.

    Raises UsageError with the nearest names if there is none.
    """
    if name not in CLUSTERS:
        raise unknown_name("cluster", name, CLUSTERS)
    return CLUSTERS[name](run, seed=seed, detached=detached)
