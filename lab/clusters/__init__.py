"""Clusters by name. To add one: write its module against `base.Cluster`, and name it here."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from lab.clusters.base import Cluster
from lab.clusters.choice import ClusterChoice
from lab.clusters.compose import ComposeCluster
from lab.clusters.embedded import EmbeddedCluster
from lab.clusters.external import ExternalCluster
from lab.clusters.local import LocalCluster
from lab.errors import UsageError, unknown_name
from lab.state import RunFolder

__all__ = ["CLUSTERS", "ClusterChoice", "Kind", "make_cluster"]


class Kind(NamedTuple):
    """How a cluster is made, and which options of a `ClusterChoice` it takes."""

    make: Callable[..., Cluster]
    options: frozenset[str] = frozenset()


CLUSTERS: dict[str, Kind] = {
    "compose": Kind(ComposeCluster),
    "embedded": Kind(EmbeddedCluster, frozenset({"toxiproxy"})),
    "external": Kind(ExternalCluster, frozenset({"dsns", "toxiproxy"})),
    "local": Kind(LocalCluster, frozenset({"binary", "toxiproxy"})),
}

FLAGS = {"binary": "--binary", "dsns": "--dsn", "toxiproxy": "--toxiproxy"}
"""How users name the options of a `ClusterChoice`."""


def make_cluster(choice: str | ClusterChoice, run: RunFolder, *, seed: int, detached: bool = False) -> Cluster:
    """Return the cluster of that name, not started; a *detached* one outlives this process.

    Raises UsageError with the nearest names if there is none, and for an option that it does not take;
    EnvironmentProblem if this machine lacks what it needs.
    """
    if isinstance(choice, str):
        choice = ClusterChoice(choice)
    if choice.name not in CLUSTERS:
        raise unknown_name("cluster", choice.name, CLUSTERS)
    kind = CLUSTERS[choice.name]
    for option in choice.given():
        if option not in kind.options:
            takers = " and ".join(f"'{name}'" for name, other in CLUSTERS.items() if option in other.options)
            raise UsageError(f"{FLAGS[option]} is for the cluster {takers}, not for '{choice.name}'")
    return kind.make(run, seed=seed, detached=detached, **choice.given())
