"""The cluster of a cockroach binary, as far as it can be told without one: what is missing, and with what remedy."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from faults.topology import links_between
from lab.clusters._node_process import NodeProcess
from lab.clusters.cockroach import start_arguments
from lab.clusters.local import LocalCluster, find_binary
from lab.db.target import Address
from lab.errors import EnvironmentProblem, Unhealthy
from lab.state import RunFolder


def test_without_a_binary_it_says_how_to_name_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentProblem, match="no 'cockroach' on PATH; install CockroachDB, or name one with --bin"):
        find_binary()
    with pytest.raises(EnvironmentProblem, match="there is no file 'nowhere'"):
        find_binary(Path("nowhere"))


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("not a program", "cannot be executed: Exec format error; name a cockroach binary for this machine"),
        ("#!/bin/sh\necho 'unknown flag: --locality'; exit 1", "node n. ended: unknown flag: --locality"),
    ],
)
async def test_a_binary_that_is_none_ends_the_start_at_once_with_its_own_words(
    root: Path, tmp_path: Path, content: str, complaint: str
) -> None:
    binary = tmp_path / "cockroach"
    binary.write_text(content)
    binary.chmod(0o755)
    run = RunFolder.create("test", root)
    cluster = LocalCluster(run, binary=binary)
    began = time.monotonic()
    try:
        with pytest.raises(EnvironmentProblem, match=complaint) as caught:
            await cluster.start(30.0)
        assert time.monotonic() - began < 15.0
        if "exit 1" in content:
            assert all("unknown flag" in log.read_text() for log in (root / "logs" / run.id).glob("n?.log"))
            assert f"(logs: {root / 'logs' / run.id})" in str(caught.value)
    finally:
        await cluster.stop(5.0)
        await asyncio.to_thread(run.remove, 5.0)


def test_each_node_is_told_the_links_to_and_from_its_peers_and_never_their_own_addresses() -> None:
    nodes = {name: Address("127.0.0.1", 1000 + number) for number, name in enumerate(("n1", "n2", "n3"), 1)}
    links = {link: Address("127.0.0.1", 2000 + number) for number, link in enumerate(links_between([*nodes]))}
    arguments = start_arguments("n2", nodes, Address("127.0.0.1", 3000), Path("/store"), links)

    given = dict(argument.removeprefix("--").split("=", 1) for argument in arguments if "=" in argument)
    by_name = {str(link): str(address) for link, address in links.items()}
    assert given["join"] == f"{by_name['n2-to-n1']},{by_name['n2-to-n3']}"
    assert given["locality-advertise-addr"] == f"node=n1@{by_name['n1-to-n2']},node=n3@{by_name['n3-to-n2']}"
    assert given["locality"] == "node=n2"
    assert given["listen-addr"] == given["advertise-addr"] == "127.0.0.1:1002"


async def begun(folder: Path, script: str) -> NodeProcess:
    """Return a node that is a shell script, and has begun."""
    log = folder / "n1.log"
    node = NodeProcess("n1", ["/bin/sh", "-c", f"echo begun; {script}"], Address("127.0.0.1", 1), log, os.environ)
    node.start()
    for _ in range(1000):
        if "begun" in node.last_words():
            return node
        await asyncio.sleep(0.01)
    raise TimeoutError(node.last_words())


async def test_a_node_that_was_not_running_was_neither_killed_nor_drained_nor_paused(tmp_path: Path) -> None:
    node = await begun(tmp_path, "exec sleep 60")
    assert "killed" in await node.kill()
    with pytest.raises(Unhealthy, match="n1 cannot be killed: it is not running"):
        await node.kill()
    with pytest.raises(Unhealthy, match="n1 cannot be drained: it is not running"):
        await node.drain(1.0)
    with pytest.raises(Unhealthy, match="n1 cannot be paused: it is not running"):
        await node.pause()


async def test_a_node_whose_drain_was_cancelled_does_not_pass_for_one_that_runs(tmp_path: Path) -> None:
    node = await begun(tmp_path, "trap '' TERM; while :; do sleep 0.1; done")
    await node.gone_if_told_so()
    assert node.running
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await node.drain(60.0)
    await node.gone_if_told_so()
    assert not node.running
