"""The runner's own conscience: what it could not see is doubt, and a cancellation is never lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

import pytest

from lab.cleanup import to_its_end
from lab.clusters._ports import free_port
from lab.clusters.base import Cluster
from lab.clusters.embedded import EmbeddedCluster
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem, Unhealthy
from lab.journal import read_journal
from lab.runner import run_scenario
from lab.scenarios import SCENARIOS
from lab.state import RunFolder
from lab.verdict import Verdict


class Broken:
    """A cluster of which nothing answers; *heals* says how each call of `heal` ends."""

    name = "broken"
    about = "nothing"
    capabilities: frozenset[Any] = frozenset()
    nodes = ()
    heals_within = 15.0

    def __init__(self, *heals: BaseException | float) -> None:
        self.heals = list(heals)

    @property
    def direct(self) -> Target:
        """An address where nobody listens."""
        return Target("postgresql", (Address("127.0.0.1", free_port()),), "lab", "secret", "postgres")

    async def heal(self, within: float) -> None:
        """Raise or sleep as told; nothing when all is said."""
        told = self.heals.pop(0) if self.heals else 0.0
        if isinstance(told, BaseException):
            raise told
        await asyncio.sleep(min(told, within))

    async def healthy(self, within: float) -> None:
        """Pretend."""


async def run(cluster: Broken, journal: Path) -> Any:
    return await run_scenario(SCENARIOS["steady"], cast("Cluster", cluster), seed=7, journal=journal)


async def test_a_database_that_does_not_answer_the_lab_leaves_doubt(tmp_path: Path) -> None:
    result = await run(Broken(), tmp_path / "journal.jsonl")

    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.findings[0].why.startswith("the database does not answer the lab itself: ")
    assert read_journal(tmp_path / "journal.jsonl").verdict is Verdict.INCONCLUSIVE


async def test_what_keeps_a_cluster_from_healing_is_the_reason_that_is_told(tmp_path: Path) -> None:
    result = await run(Broken(0.0, Unhealthy("the proxy is gone")), tmp_path / "journal.jsonl")

    assert [finding.why for finding in result.findings] == ["the proxy is gone"]


async def test_a_cancelled_run_stays_cancelled_when_healing_fails(tmp_path: Path) -> None:
    task = asyncio.create_task(run(Broken(60.0, Unhealthy("the proxy is gone")), tmp_path / "journal.jsonl"))
    await asyncio.sleep(0.05)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_that_is_not_the_clusters_passes_through(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="disk"):
        await run(Broken(EnvironmentProblem("the disk is full", "free space")), tmp_path / "journal.jsonl")


async def test_a_full_disk_under_the_server_is_the_machines_fault_and_nobody_elses(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder.create("test", root)
    cluster = EmbeddedCluster(folder)
    try:
        await cluster.start(30.0)
        monkeypatch.setattr("lab.clusters.embedded.LEAST_FREE", 2**62)
        with pytest.raises(EnvironmentProblem, match="is full; free space"):
            await cluster.healthy(5.0)
    finally:
        await to_its_end(cluster.stop(15.0))
        await asyncio.to_thread(folder.remove, 15.0)


async def test_a_server_that_died_by_itself_is_started_and_told_once(root: Path) -> None:
    folder = RunFolder.create("test", root)
    cluster = EmbeddedCluster(folder)
    try:
        await cluster.start(30.0)
        await cluster._server.crash(5.0)  # behind the cluster's back
        with pytest.raises(Unhealthy, match="no fault of the plan did that: killed by SIGKILL"):
            await cluster.heal(15.0)
        await cluster.healthy(15.0)
        await cluster.heal(15.0)
        assert await cluster.crash_server() > 0
        await cluster.heal(15.0)  # that one was asked for
    finally:
        await to_its_end(cluster.stop(15.0))
        await asyncio.to_thread(folder.remove, 15.0)
