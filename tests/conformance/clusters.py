"""What the conformance tests of clusters share: clusters to try, connections, a table."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from lab.clusters import CLUSTERS, ClusterChoice, make_cluster
from lab.clusters.base import Cluster
from lab.clusters.postgres import PostgresServer
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem
from lab.state import RunFolder
from tests.compose.images import build

BOUND = 90.0
SOON = 2.0
"""Seconds within which a session that is to end has ended."""

NEEDS_NOTHING = {"embedded", "external"}
"""Clusters that every machine can run: they are never skipped."""

NAMES = [pytest.param(name, marks=() if name in NEEDS_NOTHING else pytest.mark.cluster) for name in CLUSTERS]
"""Every cluster; those that need Docker or a binary are run apart, one after the other."""


@contextlib.contextmanager
def run_folder() -> Iterator[tuple[Path, RunFolder]]:
    """Yield a state root and a run folder in it; both are gone afterwards."""
    root = Path(tempfile.mkdtemp(prefix="lab-conformance-"))  # not tmp_path: a server of root's runs as nobody
    root.chmod(0o711)
    try:
        run = RunFolder.create("conformance", root)
        try:
            yield root, run
        finally:
            run.remove(BOUND)
    finally:
        shutil.rmtree(root)


def made(name: str, run: RunFolder, theirs: PostgresServer | None, *, seed: int) -> Cluster:
    """Return a cluster that is not started, *theirs* being the external one; skip the test if it cannot be made."""
    if name == "compose":
        take_standin_images()
    dsns: tuple[str, ...] = ()
    if name == "external" and theirs is not None:
        server = f"{theirs.user}:{theirs.password}@{theirs.host}:{theirs.port}/{theirs.database}"
        dsns = (f"postgresql://{server}",) * 3
    try:
        return make_cluster(ClusterChoice(name, dsns=dsns), run, seed=seed)
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))


def take_standin_images() -> None:
    """Have Compose use the stand-in, unless an image was named; skip the test if it cannot be made."""
    if "COCKROACH_IMAGE" not in os.environ:
        try:
            os.environ.update(build())
        except EnvironmentProblem as problem:
            pytest.skip(str(problem))


async def begin(cluster: Cluster) -> None:
    """Start a cluster; skip the test if this machine cannot run it."""
    try:
        await cluster.start(cluster.starts_within)
    except EnvironmentProblem as problem:
        if cluster.name in NEEDS_NOTHING:
            raise
        pytest.skip(str(problem))


async def connect(target: Target, address: Address, name: str = "app", timeout: float = 5.0) -> Any:
    return await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=target.user,
        password=target.password,
        database=target.database,
        ssl=target.tls,
        timeout=timeout,
        command_timeout=timeout,
        server_settings={"application_name": name},
    )


@contextlib.asynccontextmanager
async def session(target: Target, address: Address | None = None, name: str = "app") -> AsyncIterator[Any]:
    """Yield a connection to an address of the target, by default its first."""
    connection = await connect(target, address or target.addresses[0], name)
    try:
        yield connection
    finally:
        connection.terminate()


@contextlib.asynccontextmanager
async def table(cluster: Cluster) -> AsyncIterator[Any]:
    """Yield an administrator's connection around the proxies, beside an empty table of numbers."""
    async with session(cluster.direct, name="lab-test") as admin:
        await admin.execute("DROP TABLE IF EXISTS conformance")
        await admin.execute("CREATE TABLE conformance (id int PRIMARY KEY, value int NOT NULL)")
        await admin.execute("INSERT INTO conformance VALUES (1, 0)")
        yield admin


async def refuses(address: Address) -> bool:
    try:
        _, writer = await asyncio.open_connection(address.host, address.port)
    except OSError:
        return True
    writer.close()
    return False


async def eventually(condition: Callable[[], Awaitable[bool]], within: float) -> bool:
    """Tell whether a condition comes to hold in time."""
    deadline = time.monotonic() + within
    while not await condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.01)
    return True


async def names_of(cluster: Cluster, admin: Any) -> set[str]:
    """Return the names of the application's sessions that the server knows."""
    sessions = "[SHOW CLUSTER SESSIONS]" if cluster.direct.dialect == "cockroachdb" else "pg_stat_activity"
    rows = await admin.fetch(f"SELECT application_name FROM {sessions} WHERE application_name LIKE 'app-%'")  # noqa: S608
    return {row["application_name"] for row in rows}
