"""One cluster of each kind for all conformance tests of a process, and a fresh one for those that start and stop it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lab.cleanup import to_its_end
from lab.clusters.base import Capability, Cluster, CrashesServer, LosesGateways
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.state import RunFolder
from tests.conformance.clusters import BOUND, NAMES, begin, made, run_folder


@pytest.fixture(scope="session")
async def theirs() -> AsyncIterator[PostgresServer]:
    """A PostgreSQL that is somebody else's: the external cluster of these tests."""
    root = Path(tempfile.mkdtemp(prefix="lab-theirs-"))
    root.chmod(0o711)
    run = RunFolder.create("theirs", root)
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    try:
        await server.create(within=30)
        await server.start(within=30)
        yield server
    finally:
        await server.stop(within=10)
        run.remove(10)
        shutil.rmtree(root)


@pytest.fixture(scope="session", params=NAMES)
async def shared(request: pytest.FixtureRequest, theirs: PostgresServer) -> AsyncIterator[Cluster]:
    """A started cluster."""
    with run_folder() as (_, run):
        cluster = made(request.param, run, theirs, seed=7)
        try:
            await begin(cluster)
            yield cluster
        finally:
            await to_its_end(cluster.stop(BOUND))


@pytest.fixture
async def cluster(shared: Cluster) -> AsyncIterator[Cluster]:
    """A healthy cluster; what the test did to it is healed afterwards."""
    yield shared
    await shared.heal(BOUND)
    await shared.healthy(BOUND)
    await shared.control.forget_evidence()
    await shared.control.forget_firings()


@pytest.fixture
def gateways(cluster: Cluster) -> LosesGateways:
    """The cluster, if it can lose gateways."""
    if Capability.GATEWAY_LOSS not in cluster.capabilities:
        pytest.skip(f"{cluster.name} cannot lose gateways")
    assert isinstance(cluster, LosesGateways)
    return cluster


@pytest.fixture
def server(cluster: Cluster) -> CrashesServer:
    """The cluster, if its server can be crashed."""
    if Capability.SERVER_CRASH not in cluster.capabilities:
        pytest.skip(f"{cluster.name} cannot crash its server")
    assert isinstance(cluster, CrashesServer)
    return cluster


@pytest.fixture(params=NAMES)
def fresh(request: pytest.FixtureRequest, theirs: PostgresServer) -> Iterator[tuple[Path, Cluster]]:
    """A cluster that was not started, and the state root in which its processes are found."""
    with run_folder() as (root, run):
        yield root, made(request.param, run, theirs, seed=1)
