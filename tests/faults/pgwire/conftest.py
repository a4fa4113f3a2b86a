"""A real PostgreSQL behind a proxy that follows the conversation; each test has a clean one."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from faults.client import ControlClient
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.state import RunFolder
from tests.faults.pgwire.bench import DRIVERS, Bench, Database


@pytest.fixture(scope="session")
async def database() -> AsyncIterator[Database]:
    """Yield a started server for the whole session."""
    root = Path(tempfile.mkdtemp(prefix="faults-test-"))
    root.chmod(0o711)  # root's server runs as nobody
    run = RunFolder.create("test", root)
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    try:
        await server.create(within=30)
        await server.start(within=30)
        yield Database(server.host, server.port, server.user, server.password, server.database)
    finally:
        await server.stop(within=10)
        await asyncio.to_thread(run.remove, 10)
        shutil.rmtree(root)


@pytest.fixture
async def bench(control: ControlClient, database: Database) -> AsyncIterator[Bench]:
    """Yield the database behind a proxy, with an empty table t(a) and no rule."""
    await control.forget_firings()
    proxy = await control.create("pg", "127.0.0.1:0", str(database), protocol="postgresql")
    bench = Bench(control, database, database.behind(proxy.listen))
    try:
        await bench.clean()
        yield bench
    finally:
        await bench.close()
        await control.reset()
        await control.forget_firings()


@pytest.fixture(params=DRIVERS)
def driver(request: pytest.FixtureRequest) -> str:
    """Each driver in turn."""
    return str(request.param)
