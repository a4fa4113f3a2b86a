"""What a cluster of several nodes must do when it claims to: nodes hurt and healed, links cut and bent, leases found.

The same tests for containers and for processes. A stand-in for CockroachDB has one database, behind its first node: the
last node is the one that can be hurt while the others go on.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from faults.node import (
    DisconnectsNodes,
    DrainsNodes,
    KillsNodes,
    PausesNodes,
    disconnected,
    drained,
    killed,
    paused,
)
from faults.plan import BendLinks, Disconnect, Drain, Isolate, Kill, Pause, RollingRestart
from faults.topology import LinkName, links_of
from faults.toxics import Latency
from lab.arming import arm
from lab.clusters.base import NODE_PROTOCOLS, Capability, Cluster, HasLinks, HoldsLeases, needs_of
from lab.errors import Unhealthy
from tests.conformance.clusters import BOUND, connect, session, table

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.cluster,
    pytest.mark.parametrize("shared", ["compose", "local"], indirect=True, scope="session"),
]

REFUSALS = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)


def capable(cluster: Cluster, capability: Capability) -> Any:
    """Return the cluster, typed as what has the capability; skip the test if it has not."""
    if capability not in cluster.capabilities:
        pytest.skip(f"{cluster.name} has no {capability}")
    assert isinstance(cluster, NODE_PROTOCOLS[capability])
    return cluster


async def answers(cluster: Cluster, number: int, within: float = 3.0) -> bool:
    """Tell whether a node lets a query through its gateway in time."""
    try:
        async with asyncio.timeout(within):
            connection = await connect(cluster.target, cluster.nodes[number].address, timeout=within)
            try:
                await connection.fetch("SELECT 1")
            finally:
                connection.terminate()
    except REFUSALS:
        return False
    return True


async def eventually_answers(cluster: Cluster, number: int, within: float) -> bool:
    """Tell whether it does so at last."""
    deadline = time.monotonic() + within
    while not await answers(cluster, number):
        if time.monotonic() > deadline:
            return False
    return True


async def test_a_killed_node_is_gone_alone_and_comes_back_at_its_address_with_its_data(cluster: Cluster) -> None:
    able: KillsNodes = capable(cluster, Capability.NODE_KILL)
    last = cluster.nodes[-1].name
    async with table(cluster) as admin:
        await admin.execute("INSERT INTO conformance VALUES (2, 2)")
        async with killed(able, last) as what:
            assert last in what
            assert "killed" in what
            assert not await answers(cluster, -1)
            assert await eventually_answers(cluster, 0, BOUND)
        assert await eventually_answers(cluster, -1, BOUND)
        async with session(cluster.target, cluster.nodes[-1].address) as connection:
            assert len(await connection.fetch("SELECT id FROM conformance")) == 2


async def test_a_paused_node_keeps_its_connections_and_says_nothing_until_it_goes_on(cluster: Cluster) -> None:
    able: PausesNodes = capable(cluster, Capability.NODE_PAUSE)
    last = cluster.nodes[-1].name
    async with session(cluster.target, cluster.nodes[-1].address) as connection:
        async with paused(able, last) as what:
            assert last in what
            waiting = asyncio.create_task(connection.fetch("SELECT 1", timeout=BOUND))
            done, _ = await asyncio.wait([waiting], timeout=0.5)
            assert not done
            assert not connection.is_closed()
        assert await asyncio.wait_for(waiting, BOUND)


async def test_a_drained_node_ends_in_an_orderly_way_and_comes_back(cluster: Cluster) -> None:
    able: DrainsNodes = capable(cluster, Capability.NODE_DRAIN)
    async with drained(able, cluster.nodes[-1].name) as what:
        assert "exit code 0" in what
        assert not await answers(cluster, -1)
    assert await eventually_answers(cluster, -1, BOUND)


async def test_a_node_off_the_network_cannot_be_reached_and_comes_back_under_its_name(cluster: Cluster) -> None:
    able: DisconnectsNodes = capable(cluster, Capability.NODE_DISCONNECT)
    async with disconnected(able, cluster.nodes[-1].name) as what:
        assert cluster.nodes[-1].name in what
        assert not await answers(cluster, -1)
        assert await eventually_answers(cluster, 0, BOUND)
    assert await eventually_answers(cluster, -1, BOUND)


FAULTS: tuple[type[Kill | Pause | Drain | Disconnect | Isolate], ...] = (Kill, Pause, Drain, Disconnect, Isolate)


@pytest.mark.parametrize("kind", FAULTS, ids=lambda kind: kind.kind)
async def test_healing_brings_back_what_nobody_healed(
    cluster: Cluster, kind: type[Kill | Pause | Drain | Disconnect | Isolate]
) -> None:
    fault = kind(on=cluster.nodes[-1].name)
    for needed in needs_of([fault]):
        capable(cluster, needed)
    was = cluster.nodes, cluster.direct
    await arm(cluster, "test", fault)

    await cluster.heal(BOUND)
    await cluster.healthy(BOUND)

    assert (cluster.nodes, cluster.direct) == was


async def test_a_rolling_restart_takes_every_node_out_and_brings_it_back(cluster: Cluster) -> None:
    capable(cluster, Capability.NODE_DRAIN)
    evidence = await (await arm(cluster, "test", RollingRestart()))()

    assert evidence.events == len(cluster.nodes)
    assert evidence.note.count("exit code 0") == len(cluster.nodes)
    await cluster.healthy(BOUND)


async def test_a_node_that_ends_by_itself_is_started_and_told_once(cluster: Cluster) -> None:
    able: Any = capable(cluster, Capability.NODE_KILL)
    last = cluster.nodes[-1].name
    await able.kill_node(last)
    able.forget_faults()  # from here on nobody has meant it
    with pytest.raises(Unhealthy, match=rf"no fault of the plan did that: {last}.*\(logs: ") as caught:
        await cluster.heal(BOUND)
    assert (Path(str(caught.value).rpartition("(logs: ")[2].rstrip(")")) / f"{last}.log").stat().st_size > 0
    await cluster.healthy(BOUND)
    await cluster.heal(BOUND)


@contextlib.asynccontextmanager
async def traffic(cluster: Cluster) -> AsyncIterator[None]:
    """Keep the links busy: a write at a time through the last node."""

    async def write() -> None:
        while True:
            with contextlib.suppress(*REFUSALS):
                async with session(cluster.target, cluster.nodes[-1].address) as connection:
                    while True:
                        await connection.execute("UPDATE conformance SET value = value + 1 WHERE id = 1", timeout=5)
            await asyncio.sleep(0.05)

    async with table(cluster):
        task = asyncio.create_task(write())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def test_links_that_are_cut_leave_evidence_and_work_again(cluster: Cluster) -> None:
    able: HasLinks = capable(cluster, Capability.NODE_LINKS)
    assert isinstance(able, HasLinks)
    async with traffic(cluster):
        await asyncio.sleep(0.3)
        heal = await arm(cluster, "test", Isolate(on=cluster.nodes[-1].name))
        if cluster.direct.dialect != "cockroachdb":
            assert not await answers(cluster, -1)  # a stand-in's node is nothing without its link
        evidence = await heal()

    assert evidence.events > 0, evidence.note
    assert await eventually_answers(cluster, -1, BOUND)


async def test_links_that_are_bent_leave_evidence_and_are_straight_again(cluster: Cluster) -> None:
    capable(cluster, Capability.NODE_LINKS)
    async with traffic(cluster):
        heal = await arm(cluster, "test", BendLinks(Latency(delay=0.02), on=cluster.nodes[-1].name, direction="from"))
        await asyncio.sleep(1.0)
        evidence = await heal()

    assert evidence.events > 0, evidence.note
    links = [str(link) for link in links_of(cluster.nodes[-1].name, [n.name for n in cluster.nodes], "from")]
    assert any(link in evidence.note for link in links)


async def test_a_link_that_does_not_exist_cannot_be_cut(cluster: Cluster) -> None:
    able: HasLinks = capable(cluster, Capability.NODE_LINKS)
    with pytest.raises(Exception, match="proxy not found"):
        await able.cut_link(LinkName("n1", "n99"))


async def test_the_leaseholder_is_one_of_the_nodes_once_the_data_is_everywhere(cluster: Cluster) -> None:
    able: HoldsLeases = capable(cluster, Capability.LEASES)
    async with table(cluster):
        await able.replicated(BOUND)
        assert await able.leaseholder() in {node.name for node in cluster.nodes}
