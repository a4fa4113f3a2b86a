"""What kinds of clusters claim is what they have methods for: told by their classes, on machines without Docker too."""

from __future__ import annotations

import pytest

from lab.clusters.base import NODE_PROTOCOLS, ON_THE_WAY, OWN_NODES, Capability
from lab.clusters.compose import ComposeCluster
from lab.clusters.embedded import EmbeddedCluster
from lab.clusters.external import ExternalCluster
from lab.clusters.local import LocalCluster
from lab.state import RunFolder


@pytest.mark.parametrize(
    ("kind", "claims"),
    [
        (EmbeddedCluster, EmbeddedCluster.capabilities),
        (ExternalCluster, ON_THE_WAY),
        (LocalCluster, OWN_NODES),
        (ComposeCluster, OWN_NODES | {Capability.NODE_DISCONNECT}),
    ],
)
def test_a_kind_of_cluster_has_the_methods_of_what_it_claims(kind: type, claims: frozenset[Capability]) -> None:
    assert [
        name for name, protocol in NODE_PROTOCOLS.items() if name in claims and not issubclass(kind, protocol)
    ] == []


def test_a_cluster_of_containers_claims_no_more_than_that() -> None:
    run = RunFolder.create("run")
    try:
        assert ComposeCluster(run).capabilities == OWN_NODES | {Capability.NODE_DISCONNECT}
    finally:
        run.remove(5)
