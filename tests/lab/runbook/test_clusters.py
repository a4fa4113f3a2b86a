"""What the embedded cluster only stands in for is rehearsed where nodes and links are real processes and networks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.clusters.base import Cluster
from lab.runbook import find, rehearse_on
from lab.verdict import Verdict
from tests.conformance.clusters import begin, made, run_folder
from tests.lab.runbook.test_rehearse import explain

SEED = 2
"""By it n2 is struck: of the stand-in, one server behind three nodes, n1 is the server."""

NODES = ("minority-partition", "node-lost")


@pytest.fixture(scope="module")
async def containers() -> AsyncIterator[Cluster]:
    """A started cluster of containers for all rehearsals; they are skipped without an engine."""
    with run_folder() as (_, run):
        cluster = made("compose", run, None, seed=SEED)
        try:
            await begin(cluster)
            yield cluster
        finally:
            await cluster.stop(60.0)


@pytest.mark.cluster
@pytest.mark.parametrize("name", NODES)
async def test_a_runbook_about_nodes_heals_what_it_injects(name: str, containers: Cluster, journal: Path) -> None:
    drill = await rehearse_on(containers, find(name), seed=SEED, journal=journal)

    assert drill.verdict is Verdict.PASS, explain(drill)
    assert drill.node == "n2"
    assert drill.faults[0].fired
