"""The pytest plugin: a cluster, an engine, faults and scenarios as fixtures, and the marker `resilience`.

It imports nothing but pytest and the standard library until a test asks for the lab; docs/pytest.md is its manual.
What that page names is its API, version `API_VERSION`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab._pytest_reporter import Reporter
from lab._test_report import PROPERTY
from lab.errors import LabError, UsageError, unknown_name

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from lab.testing import ArmedFault, LabCluster, LabFaults, LabScenario
    from lab.testing.marker import Marked

API_VERSION = "1.0"
"""The first number changes when something of docs/pytest.md goes or means something else."""

CLUSTER_NAMES = ("compose", "embedded", "external", "local")
USES = frozenset({"lab_cluster", "lab_url", "lab_dsn", "lab_engine", "lab_faults", "lab_scenario", "lab_moment"})
"""Fixtures by which a test uses the cluster, itself or through fixtures of its own."""

MARKER = "resilience(*faults, needs=[...], armed=True, must_fire=True, policy=None, workload=None)"

_cluster_key = pytest.StashKey["LabCluster"]()
_faults_key = pytest.StashKey["LabFaults"]()
_marked_key = pytest.StashKey["Marked"]()
_scenario_key = pytest.StashKey["LabScenario"]()


# --- options ----------------------------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --lab-cluster, --lab-seed, --lab-report, and what some clusters want to know."""
    group = parser.getgroup("resilience lab")
    group.addoption("--lab-cluster", default="embedded", help="cluster of the tests: embedded (default), see lab list")
    group.addoption("--lab-seed", type=int, default=0, help="seed of every draw (default: 0)")
    group.addoption("--lab-report", type=Path, help="write the report to this folder: report.html, junit.xml, ...")
    group.addoption("--lab-binary", type=Path, help="cockroach binary of the cluster local")
    group.addoption("--lab-dsn", action="append", help="address of the cluster external, for each node; or $LAB_DSN")


def pytest_configure(config: pytest.Config) -> None:
    """Announce the marker, and refuse options that make no sense, before anything is collected."""
    config.addinivalue_line("markers", f"{MARKER}: run the test once for each fault, which strikes its body.")
    name = config.getoption("--lab-cluster")
    if name not in CLUSTER_NAMES:
        raise pytest.UsageError(f"--lab-cluster: {unknown_name('cluster', name, CLUSTER_NAMES)}")
    if config.getoption("--lab-seed") < 0:
        raise pytest.UsageError("--lab-seed: a seed is 0 or more")
    report: Path | None = config.getoption("--lab-report")
    if report is not None:
        config.option.lab_report = report.absolute()
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporter(config), "resilience-lab-reporter")


def pytest_report_header(config: pytest.Config) -> str:
    """Say which cluster and which seed."""
    cluster, seed = config.getoption("--lab-cluster"), config.getoption("--lab-seed")
    return f"resilience lab: cluster {cluster}, seed {seed} (starts with the first test that uses it)"


# --- collecting -------------------------------------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Have a marked test run once for each of its faults."""
    mark = metafunc.definition.get_closest_marker("resilience")
    if mark is None:
        return
    marked = _read(mark, metafunc.definition.nodeid)
    if "lab_moment" not in metafunc.fixturenames:
        metafunc.fixturenames.append("lab_moment")
    if marked.faults:
        metafunc.parametrize("lab_moment", marked.faults, ids=marked.ids, indirect=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have every marked test prepare its fault, after its own fixtures."""
    for item in items:
        mark = item.get_closest_marker("resilience")
        if mark is not None and isinstance(item, pytest.Function):
            item.stash[_marked_key] = _read(mark, item.nodeid)
            if "lab_moment" not in item.fixturenames:
                item.fixturenames.append("lab_moment")


def _read(mark: pytest.Mark, where: str) -> Marked:
    from lab.testing.marker import read_marker

    try:
        return read_marker(mark.args, mark.kwargs)
    except UsageError as error:
        raise pytest.Collector.CollectError(f"{where}: {error}") from None


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lab_seed(pytestconfig: pytest.Config) -> int:
    """The seed of --lab-seed."""
    return int(pytestconfig.getoption("--lab-seed"))


@pytest.fixture(scope="session")
def lab_cluster(pytestconfig: pytest.Config, lab_seed: int) -> Iterator[LabCluster]:
    """The session's cluster (of each worker's, under pytest-xdist), started by the first test that needs it."""
    from lab.clusters import ClusterChoice
    from lab.testing import LabCluster
    from lab.testing._signals import ending_as_ctrl_c

    name = pytestconfig.getoption("--lab-cluster")
    dsns = pytestconfig.getoption("--lab-dsn") or (os.environ.get("LAB_DSN", "").split() if name == "external" else ())
    choice = ClusterChoice(name, pytestconfig.getoption("--lab-binary"), tuple(dsns))
    with ending_as_ctrl_c():
        try:
            cluster = LabCluster(choice, seed=lab_seed)
        except LabError as error:
            pytest.fail(f"resilience lab: {error}", pytrace=False)
        pytestconfig.stash[_cluster_key] = cluster
        yield cluster
        cluster.close()


@pytest.fixture(scope="session")
def lab_url(lab_cluster: LabCluster) -> str:
    """A URL for SQLAlchemy with asyncpg, through the first node's gateway: for an engine of your own."""
    return lab_cluster.url()


@pytest.fixture(scope="session")
def lab_dsn(lab_cluster: LabCluster) -> str:
    """The same for asyncpg, psycopg and libpq."""
    return lab_cluster.dsn()


@pytest.fixture
def lab_engine(lab_cluster: LabCluster) -> Iterator[AsyncEngine]:
    """An AsyncEngine for the test's loop: SERIALIZABLE, with every time-out set, spread over the nodes."""
    engine = lab_cluster.engine()
    yield engine
    lab_cluster.dispose(engine)


@pytest.fixture
def lab_faults(request: pytest.FixtureRequest, lab_cluster: LabCluster) -> Iterator[LabFaults]:
    """Faults to arm in the test; whatever is armed is healed when it ends."""
    from lab.testing import LabFaults

    faults = request.node.stash[_faults_key] = LabFaults(lab_cluster)
    yield faults
    faults.heal()


@pytest.fixture
def lab_scenario(request: pytest.FixtureRequest, lab_cluster: LabCluster) -> LabScenario:
    """Whole experiments: run a scenario, validate a policy, explore an operation."""
    from lab.testing import LabScenario

    report: Path | None = request.config.getoption("--lab-report")
    journals = (report or lab_cluster.folder) / "journals"
    marked = request.node.stash.get(_marked_key, None)
    options = {"policy": marked.policy, "workload": marked.workload} if marked else {}
    test = request.node.nodeid + os.environ.get("PYTEST_XDIST_WORKER", "")  # several workers may run the same one
    made = request.node.stash[_scenario_key] = LabScenario(lab_cluster, journals, test, **options)
    return made


@pytest.fixture
def lab_moment(request: pytest.FixtureRequest, lab_cluster: LabCluster, lab_faults: LabFaults) -> ArmedFault | None:
    """The fault of the marker for this run of the test; armed while its body runs, unless it says armed=False."""
    from lab.errors import NotCapable

    marked = request.node.stash.get(_marked_key, None)
    lacks = lab_cluster.lacks(marked.needs) if marked else []
    if lacks:
        pytest.skip(f"the cluster '{lab_cluster.name}' lacks {', '.join(lacks)}")
    fault = getattr(request, "param", None)
    if fault is None:
        return None
    try:
        return lab_faults(fault, must_fire=marked.must_fire if marked else True)
    except NotCapable as error:
        pytest.skip(str(error))


# --- running ----------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Arm the marked fault around the body alone, heal everything before fixtures end, and ask for evidence."""
    cluster = item.config.stash.get(_cluster_key, None)
    if cluster is None or not any(name in USES for name in getattr(item, "fixturenames", ())):
        return (yield)
    faults = item.stash.get(_faults_key, None)
    try:
        _arm(item)
        answer = yield
    except BaseException as error:
        _heal(cluster, faults, item, error)
        raise
    _heal(cluster, faults, item, None)
    return answer


def _arm(item: pytest.Item) -> None:
    marked = item.stash.get(_marked_key, None)
    moment: ArmedFault | None = getattr(item, "funcargs", {}).get("lab_moment")
    if moment is not None and (marked is None or marked.armed):
        moment.arm()


def _heal(cluster: LabCluster, faults: LabFaults | None, item: pytest.Item, error: BaseException | None) -> None:
    """Heal all, note what struck, and fail the test that *error* has not failed if its fault did not strike."""
    try:
        if faults is not None:
            faults.heal()
        cluster.heal()
    except Exception as trouble:
        if error is None:
            raise
        error.add_note(f"and the cluster could not be healed: {trouble}")
    finally:
        _note(cluster, faults, item)
    silent = faults.silent() if error is None and faults is not None else None
    if silent is not None:
        pytest.fail(str(silent), pytrace=False)


def _note(cluster: LabCluster, faults: LabFaults | None, item: pytest.Item) -> None:
    struck = [fault.summary() for fault in faults.all if fault.was_armed] if faults is not None else []
    ran = item.stash.get(_scenario_key, None)
    journals = [f"journals/{path.name}" for path in ran.journals] if ran is not None else []
    experiments = ran.told if ran is not None else []
    data = {"cluster": cluster.name, "about": cluster.about, "faults": struck}
    data |= {"journals": journals, "experiments": experiments}
    item.user_properties.append((PROPERTY, json.dumps(data)))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Leave nothing, also where pytest did not come to the end of its fixtures."""
    cluster = config.stash.get(_cluster_key, None)
    if cluster is not None:
        cluster.close()
