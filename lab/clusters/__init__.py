"""Clusters by name. To add one: write its module against `base.Cluster`, and name it here."""

from __future__ import annotations

import pkgutil
from typing import TYPE_CHECKING, NamedTuple

from lab.clusters.choice import ClusterChoice
from lab.errors import UsageError, unknown_name
from lab.state import RunFolder

if TYPE_CHECKING:
    from lab.clusters.base import Cluster

__all__ = ["CLUSTERS", "ClusterChoice", "Kind", "make_cluster"]


class Kind(NamedTuple):
    """The place of its class, loaded when it is wanted, and which options of a `ClusterChoice` it takes."""

    place: str
    options: frozenset[str] = frozenset()


CLUSTERS: dict[str, Kind] = {
    "compose": Kind("lab.clusters.compose:ComposeCluster"),
    "embedded": Kind("lab.clusters.embedded:EmbeddedCluster", frozenset({"toxiproxy"})),
    "external": Kind("lab.clusters.external:ExternalCluster", frozenset({"dsns", "toxiproxy"})),
    "local": Kind("lab.clusters.local:LocalCluster", frozenset({"binary", "toxiproxy"})),
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
    cluster: Cluster = pkgutil.resolve_name(kind.place)(run, seed=seed, detached=detached, **choice.given())
    return cluster
