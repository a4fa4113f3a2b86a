"""Options of the whole suite, and one cluster for all scenario tests."""

from __future__ import annotations

import gc
import warnings
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import pytest

from lab.cleanup import STOP, to_its_end
from lab.clusters.base import Cluster
from lab.suite import open_cluster
from tests.conformance.clusters import take_standin_images

# How fast examples are drawn says something about the machine, and nothing about what is tested.
hypothesis.settings.register_profile("lab", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("lab")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let users choose the cluster and the seed of the scenario tests."""
    group = parser.getgroup("resilience lab")
    group.addoption("--cluster", default="embedded", help="cluster that the scenarios run on")
    group.addoption("--seed", type=int, default=7, help="seed of every plan and workload")


@pytest.fixture(scope="session")
def seed(request: pytest.FixtureRequest) -> int:
    """The seed of the run."""
    return int(request.config.getoption("--seed"))


@pytest.fixture(scope="session")
async def cluster(request: pytest.FixtureRequest, seed: int) -> AsyncIterator[Cluster]:
    """A started cluster, shared by all scenario tests: each scenario heals it."""
    name = request.config.getoption("--cluster")
    if name == "compose":
        take_standin_images()
    run, made = open_cluster(name, seed)
    try:
        await made.start(made.starts_within)
        yield made
        await to_its_end(made.stop(STOP))
    finally:
        run.remove(STOP)


LEAKY = ("tests/lab/validate/", "tests/lab/explore/", "tests/scenarios/")
"""Where policies are tried that leave connections open on purpose."""


@pytest.fixture(autouse=True)
def what_a_wrong_policy_leaks_is_collected_with_it(request: pytest.FixtureRequest) -> Iterator[None]:
    """Else the warning of an open connection would strike whichever test runs when the collector comes by."""
    yield
    if request.node.nodeid.startswith(LEAKY):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where a test keeps its journal."""
    return tmp_path / "journal.jsonl"
