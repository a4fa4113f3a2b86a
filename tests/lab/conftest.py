"""A real PostgreSQL for the tests of the lab, and a root for run folders that the server's account can reach."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from lab.clusters.postgres import PostgresServer, find_binaries
from lab.state import RunFolder


def _new_root() -> Path:
    # Not tmp_path: pytest makes that for its user alone, and root's server runs as nobody.
    root = Path(tempfile.mkdtemp(prefix="lab-test-"))
    root.chmod(0o711)
    return root


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Yield an empty state root, which is also the default one during the test."""
    root = _new_root()
    monkeypatch.setenv("LAB_STATE_DIR", str(root))
    yield root
    shutil.rmtree(root)


@pytest.fixture(scope="session")
async def postgres() -> AsyncIterator[PostgresServer]:
    """Yield a started server for the whole session; tests share it, so they name their tables apart."""
    root = _new_root()
    run = RunFolder.create("test", root)
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    try:
        await server.create(within=30)
        await server.start(within=30)
        yield server
    finally:
        await server.stop(within=10)
        await asyncio.to_thread(run.remove, 10)
        shutil.rmtree(root)


@pytest.fixture
def root_only() -> None:
    """Skip the test for anybody but root."""
    if os.geteuid() != 0:
        pytest.skip("only root can change to another account")
