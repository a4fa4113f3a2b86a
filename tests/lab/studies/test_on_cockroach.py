"""Claims and pools on a real cluster: what was measured on the embedded server is so there too."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from lab.clusters.base import Cluster
from lab.observer import Nobody
from lab.studies.shipped import STUDIES
from lab.verdict import Verdict
from tests.conformance.clusters import begin, made, run_folder

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
async def processes() -> AsyncIterator[Cluster]:
    """A started cluster of processes for both studies; they are skipped without a binary."""
    with run_folder() as (_, run):
        cluster = made("local", run, None, seed=7)
        try:
            await begin(cluster)
            yield cluster
        finally:
            await cluster.stop(60.0)


@pytest.mark.parametrize("name", ["claims", "pool"])
async def test_a_study_sees_on_a_cluster_what_it_has_seen_on_the_embedded_server(name: str, processes: Cluster) -> None:
    result = await STUDIES[name].run(processes, 7, Nobody())

    assert result.verdict is Verdict.PASS, "\n".join(str(finding) for finding in result.findings)
