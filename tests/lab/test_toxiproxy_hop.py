"""A real Toxiproxy between gateways and nodes, however it is named; the user's own proxies are not touched."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import toxiproxy

from faults.client import ControlClient
from faults.toxics import Latency
from faults.toxiproxy import control_url
from lab.clusters.embedded import EmbeddedCluster
from lab.errors import EnvironmentProblem, UsageError
from lab.runner import run_scenario
from lab.scenarios import SCENARIOS
from lab.state import RunFolder
from lab.verdict import Verdict
from tests.faults.wire import Server, our_server, real_server, real_server_binary


@pytest.fixture(params=["ours", "real"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Our server or a real Toxiproxy: both stand for one."""
    if request.param == "ours":
        with our_server(tmp_path / "log") as server:
            yield server
        return
    binary = real_server_binary()
    if binary is None:
        pytest.skip("no toxiproxy-server on PATH, and $TOXIPROXY_SERVER names none")
    with real_server(binary) as server:
        yield server


@pytest.fixture
def run(root: Path) -> Iterator[RunFolder]:
    folder = RunFolder.create("test", root)
    yield folder
    folder.remove(10.0)


def as_object(server: Server) -> object:
    """Return the server as toxiproxy-python has it."""
    found = toxiproxy.Toxiproxy()
    found.update_api_consumer("127.0.0.1", server.port)
    return found


@pytest.mark.parametrize("way", ["url", "host:port", "object"])
async def test_traffic_runs_through_it_and_what_is_not_ours_stays_as_it_is(
    either: Server, run: RunFolder, journal: Path, way: str
) -> None:
    named = {"url": either.url, "host:port": f"127.0.0.1:{either.port}", "object": as_object(either)}[way]
    cluster = EmbeddedCluster(run, toxiproxy=named)
    async with ControlClient(either.url) as control:
        await control.create("theirs", "127.0.0.1:0", "127.0.0.1:1")
        await control.add("theirs", Latency(delay=1.0))
        try:
            await cluster.start(30.0)
            await cluster.healthy(10.0)
            names = [name for name in await control.proxies() if name != "theirs"]
            assert names == [f"lab-{run.id}-{node}" for node in ("n1", "n2", "n3")]

            await control.disable(names[0])
            await control.add(names[1], Latency(delay=30.0))
            await cluster.heal(10.0)
            await cluster.healthy(10.0)

            result = await run_scenario(SCENARIOS["lost-acks"], cluster, seed=3, journal=journal)
            assert result.verdict is Verdict.PASS, result.findings
            assert "through a Toxiproxy" in cluster.about
        finally:
            await cluster.stop(10.0)
        left = await control.proxies()
        assert [*left] == ["theirs"]
        assert [toxic.type for toxic in left["theirs"].toxics] == ["latency"]


async def test_a_program_is_started_and_ends_with_the_run(run: RunFolder) -> None:
    binary = real_server_binary()
    if binary is None:
        pytest.skip("no toxiproxy-server on PATH, and $TOXIPROXY_SERVER names none")
    cluster = EmbeddedCluster(run, toxiproxy=binary)
    try:
        await cluster.start(30.0)
        await cluster.healthy(10.0)
        upstreams = {proxy.upstream for proxy in (await cluster.control.proxies()).values()}
        assert str(cluster.direct.addresses[0]) not in upstreams
    finally:
        await cluster.stop(10.0)


async def test_what_a_dead_run_has_left_in_it_is_removed_and_what_a_live_one_uses_is_not(
    either: Server, run: RunFolder, root: Path
) -> None:
    live = RunFolder.create("test", root)
    async with ControlClient(either.url) as control:
        await control.create("lab-run-20200101-000000-00000000-n1", "127.0.0.1:0", "127.0.0.1:1")
        await control.create(f"lab-{live.id}-n1", "127.0.0.1:0", "127.0.0.1:1")
        cluster = EmbeddedCluster(run, toxiproxy=either.url)
        try:
            await cluster.start(30.0)
            names = set(await control.proxies())
        finally:
            await cluster.stop(10.0)
    await asyncio.to_thread(live.remove, 5.0)
    assert "lab-run-20200101-000000-00000000-n1" not in names
    assert f"lab-{live.id}-n1" in names


def test_what_stands_for_no_toxiproxy_is_refused_with_what_would(run: RunFolder) -> None:
    with pytest.raises(UsageError, match=r"--toxiproxy: Toxiproxy 'nonsense': missing port .*; or name a program"):
        EmbeddedCluster(run, toxiproxy="nonsense")
    with pytest.raises(UsageError, match="no Toxiproxy, but int: give its URL or an object of toxiproxy-python"):
        EmbeddedCluster(run, toxiproxy=7)


async def test_a_toxiproxy_that_does_not_answer_ends_the_start_in_one_line(run: RunFolder) -> None:
    cluster = EmbeddedCluster(run, toxiproxy="http://127.0.0.1:1")
    try:
        with pytest.raises(EnvironmentProblem, match=r"no Toxiproxy answers: .*; start it, or name another"):
            await cluster.start(30.0)
    finally:
        await cluster.stop(10.0)


def test_the_control_client_takes_the_same_things(either: Server) -> None:
    assert control_url(as_object(either)) == control_url(either.url + "/") == f"http://127.0.0.1:{either.port}"
    assert ControlClient(as_object(either)).url == either.url
