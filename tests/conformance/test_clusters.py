"""What any cluster must do: one suite, written against the protocol and the named capabilities alone.

A later cluster is tried as soon as its name is in `lab.clusters.CLUSTERS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import asyncpg
import pytest

from faults.errors import ControlRefused
from faults.pgwire.rules import Rule, lost_ack, lost_request
from faults.toxics import Latency, ResetPeer, Timeout
from lab.clusters import CLUSTERS, make_cluster
from lab.clusters.base import NODE_PROTOCOLS, Capability, Cluster, CrashesServer, LosesGateways, PausesBackends, require
from lab.db.target import Address
from lab.errors import EnvironmentProblem, NotCapable, Unhealthy, UsageError
from lab.state import survey
from tests.conformance.clusters import (
    BOUND,
    SOON,
    begin,
    connect,
    eventually,
    names_of,
    refuses,
    run_folder,
    session,
    table,
)

pytestmark = pytest.mark.timeout(240)


# What it is


def test_a_cluster_goes_by_the_name_that_it_is_asked_for(cluster: Cluster) -> None:
    assert cluster.name in CLUSTERS
    assert cluster.about
    assert "\n" not in cluster.about


def test_an_unknown_cluster_is_refused_with_the_nearest_name() -> None:
    with run_folder() as (_, run), pytest.raises(UsageError, match="did you mean embedded"):
        make_cluster("embeded", run, seed=0)


def test_nodes_have_names_and_addresses_of_their_own(cluster: Cluster) -> None:
    assert cluster.nodes
    assert len({node.name for node in cluster.nodes}) == len(cluster.nodes)
    assert cluster.target.addresses == tuple(node.address for node in cluster.nodes)
    assert len({*cluster.target.addresses, *cluster.direct.addresses}) > len(cluster.nodes)


def test_a_cluster_has_the_methods_of_what_it_says_that_it_can(cluster: Cluster) -> None:
    for capability, protocol in NODE_PROTOCOLS.items():
        if capability in cluster.capabilities:
            assert isinstance(cluster, protocol), capability


def test_what_it_cannot_do_is_refused_by_name(cluster: Cluster) -> None:
    require(cluster, cluster.capabilities, "the test")
    for missing in set(Capability) - cluster.capabilities:
        with pytest.raises(NotCapable, match=missing):
            require(cluster, [missing], "the test")


async def test_every_node_answers_through_its_proxy_and_the_database_answers_around_them(cluster: Cluster) -> None:
    for target in (cluster.target, cluster.direct):
        for address in target.addresses:
            async with session(target, address) as connection:
                assert (await connection.fetchval("SHOW transaction_isolation")).lower() == "serializable"


async def test_all_nodes_show_the_same_database(cluster: Cluster) -> None:
    async with table(cluster):
        for number, node in enumerate(cluster.nodes, 10):
            async with session(cluster.target, node.address) as connection:
                await connection.execute("INSERT INTO conformance VALUES ($1, 0)", number)
        async with session(cluster.direct) as connection:
            assert await connection.fetchval("SELECT count(*) FROM conformance") == 1 + len(cluster.nodes)


async def test_the_control_api_knows_each_node_by_its_name_and_address(cluster: Cluster) -> None:
    proxies = await cluster.control.proxies()
    assert {name: proxy.listen for name, proxy in proxies.items()} == {n.name: str(n.address) for n in cluster.nodes}


# Health


async def test_a_healthy_cluster_says_so_at_once(cluster: Cluster) -> None:
    began = time.monotonic()
    await cluster.healthy(BOUND)
    assert time.monotonic() - began < 5.0


async def test_a_node_that_refuses_is_named_and_no_other(cluster: Cluster) -> None:
    sick = cluster.nodes[-1]
    await cluster.control.disable(sick.name)
    began = time.monotonic()
    with pytest.raises(Unhealthy, match=rf"\b{sick.name}\b") as caught:
        await cluster.healthy(0.3)
    assert time.monotonic() - began < 2.0
    assert not any(node.name in str(caught.value) for node in cluster.nodes[:-1])


async def test_a_node_that_swallows_everything_is_unhealthy_within_the_bound(cluster: Cluster) -> None:
    sick = cluster.nodes[0]
    await cluster.control.add(sick.name, Timeout(), stream="upstream")
    began = time.monotonic()
    with pytest.raises(Unhealthy, match=rf"\b{sick.name}\b"):
        await cluster.healthy(0.3)
    assert time.monotonic() - began < 2.0


async def test_a_node_that_comes_back_in_time_is_healthy(cluster: Cluster) -> None:
    node = cluster.nodes[0].name
    await cluster.control.disable(node)
    waiting = asyncio.create_task(cluster.healthy(BOUND))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await cluster.control.enable(node)
    await waiting


# Healing

FAULTS = ("toxics", "down", "gateway loss", "crash")


async def strike(cluster: Cluster, fault: str) -> None:
    """Do a fault to the cluster, if it has what that takes."""
    node = cluster.nodes[0].name
    match fault:
        case "toxics":
            await cluster.control.add(node, Timeout(), stream="upstream")
            await cluster.control.add(cluster.nodes[-1].name, Latency(delay=60.0), toxicity=0.5)
        case "down":
            await cluster.control.disable(cluster.nodes[-1].name)
        case "gateway loss" if isinstance(cluster, LosesGateways):
            await cluster.lose_gateway(node)
        case "crash" if isinstance(cluster, CrashesServer):
            await cluster.crash_server()


@pytest.mark.parametrize(
    "faults",
    [chosen for size in range(1, 5) for chosen in itertools.permutations(FAULTS, size) if size != 3],
    ids=", ".join,
)
async def test_healing_undoes_whatever_was_done(cluster: Cluster, faults: tuple[str, ...]) -> None:
    was = cluster.nodes, cluster.direct
    for fault in faults:
        await strike(cluster, fault)

    await cluster.heal(BOUND)
    await cluster.healthy(BOUND)

    proxies = (await cluster.control.proxies()).values()
    assert all(proxy.enabled and not proxy.toxics for proxy in proxies)
    assert (cluster.nodes, cluster.direct) == was


async def test_healing_what_is_well_disturbs_nobody(cluster: Cluster) -> None:
    async with session(cluster.target) as connection:
        await connection.execute("SET search_path = nowhere")  # a connection of which nobody knows but us
        await cluster.heal(BOUND)
        await cluster.heal(BOUND)
        assert await connection.fetchval("SHOW search_path") == "nowhere"


async def test_two_may_heal_at_once(cluster: Cluster) -> None:
    for fault in FAULTS:
        await strike(cluster, fault)
    await asyncio.gather(cluster.heal(BOUND), cluster.heal(BOUND))
    await cluster.healthy(BOUND)


# Evidence


async def test_a_toxic_leaves_evidence_of_whom_it_touched(cluster: Cluster) -> None:
    node, other = cluster.nodes[0], cluster.nodes[-1]
    async with session(cluster.target, node.address) as bent, session(cluster.target, other.address) as spared:
        for name in (node.name, other.name):
            await cluster.control.add(name, Latency(delay=0.01), name="slow")
        await bent.fetchval("SELECT 1")
        assert not spared.is_closed()
        found = {record.proxy: record for record in await cluster.control.evidence() if record.name == "slow"}
    assert (found[node.name].events > 0, found[node.name].connections) == (True, 1)
    assert (found[other.name].events, found[other.name].connections) == (0, 0)


async def test_evidence_outlives_its_toxic_until_it_is_forgotten(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    await cluster.control.add(node.name, ResetPeer(), name="cruel")
    with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
        await connect(cluster.target, node.address)
    await cluster.heal(BOUND)
    assert [record.events > 0 for record in await cluster.control.evidence() if record.name == "cruel"] == [True]
    await cluster.control.forget_evidence()
    assert await cluster.control.evidence() == []


async def test_cutting_connections_ends_them_once_and_is_on_record(cluster: Cluster) -> None:
    node = cluster.nodes[0]
    async with session(cluster.target, node.address) as connection:
        assert await cluster.control.reset_connections(node.name) == 1
        with pytest.raises((OSError, asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await connection.fetchval("SELECT 1")
    async with session(cluster.target, node.address) as connection:
        assert await connection.fetchval("SELECT 1") == 1
    assert [record.connections for record in await cluster.control.evidence() if record.name == "cut"] == [1]


# Capability: gateway loss


@pytest.mark.parametrize(("preset", "applied"), [(lost_ack, True), (lost_request, False)])
async def test_a_rule_strikes_one_commit_on_every_node_and_the_record_tells_the_truth(
    cluster: Cluster, preset: Callable[[], Rule], applied: bool
) -> None:
    if Capability.WIRE_RULES not in cluster.capabilities:
        pytest.skip(f"{cluster.name} does not follow the conversation")
    async with table(cluster) as admin:
        for number, node in enumerate(cluster.nodes, 2):
            await cluster.control.forget_firings()
            await cluster.control.arm(preset())
            async with session(cluster.target, node.address) as client:
                await client.execute("BEGIN")
                await client.execute("INSERT INTO conformance VALUES ($1, 0)", number)
                with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
                    await client.execute("COMMIT")
            (firing,) = await cluster.control.firings()
            await cluster.control.disarm(preset().name)

            assert await admin.fetchval("SELECT count(*) FROM conformance WHERE id = $1", number) == applied
            assert (firing.proxy, firing.statement) == (node.name, "COMMIT")
            assert (firing.forwarded, firing.answer) == (applied, "COMMIT" if applied else None)


async def waits_for_row(cluster: Cluster, address: Address, name: str) -> asyncio.Task[Any]:
    """Begin an update of the locked row, and return once the server says that it waits."""

    async def update() -> None:
        async with session(cluster.target, address, name) as connection:
            with contextlib.suppress(asyncpg.PostgresError):  # the server must not find out by itself
                await connection.execute("SET client_connection_check_interval = 0")
            await connection.execute("UPDATE conformance SET value = value + 1 WHERE id = 1", timeout=BOUND)

    task = asyncio.create_task(update())
    async with session(cluster.direct, name="lab-test") as admin:

        async def waits() -> bool:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock'"
            return bool(await admin.fetchval(query, name))

        assert await eventually(waits, BOUND)
    return task


async def test_losing_a_gateway_ends_its_sessions_on_the_server_even_those_that_wait_for_a_lock(
    cluster: Cluster, gateways: LosesGateways
) -> None:
    if cluster.direct.dialect == "cockroachdb" or "STAND-IN" in cluster.about:
        pytest.skip("only PostgreSQL needs help with that, and only it shows what waits for a lock")
    lost, kept = cluster.nodes[0], cluster.nodes[-1]
    async with table(cluster) as admin, contextlib.AsyncExitStack() as stack:
        await stack.enter_async_context(session(cluster.target, lost.address, "app-idle"))
        await stack.enter_async_context(session(cluster.target, kept.address, "app-kept"))
        await stack.enter_async_context(session(cluster.direct, name="app-direct"))
        transaction = admin.transaction()
        await transaction.start()
        await admin.execute("UPDATE conformance SET value = 100 WHERE id = 1")
        doomed = await waits_for_row(cluster, lost.address, "app-doomed")
        waiting = await waits_for_row(cluster, kept.address, "app-waiting")

        await gateways.lose_gateway(lost.name)

        async with session(cluster.direct, name="lab-test") as witness:

            async def only_the_others_are_left() -> bool:
                return await names_of(cluster, witness) == {"app-kept", "app-direct", "app-waiting"}

            assert await eventually(only_the_others_are_left, SOON), await names_of(cluster, witness)
        assert await refuses(lost.address)
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await doomed
        await transaction.rollback()
        with contextlib.suppress(asyncpg.SerializationError):
            await waiting
        assert await admin.fetchval("SELECT value FROM conformance") <= 1


async def test_a_lost_gateway_comes_back_at_the_same_address(cluster: Cluster, gateways: LosesGateways) -> None:
    node = cluster.nodes[0]
    await gateways.lose_gateway(node.name)
    assert await refuses(node.address)
    await gateways.return_gateway(node.name)
    async with session(cluster.target, node.address) as connection:
        assert await connection.fetchval("SELECT 1") == 1


async def test_the_loss_of_a_gateway_is_on_record_with_those_that_it_cut_off(
    cluster: Cluster, gateways: LosesGateways
) -> None:
    node = cluster.nodes[0]
    async with session(cluster.target, node.address):
        await gateways.lose_gateway(node.name)
    (record,) = [record for record in await cluster.control.evidence() if record.name == "down"]
    assert (record.proxy, record.connections) == (node.name, 1)


async def test_all_gateways_may_be_lost_at_once_and_twice(cluster: Cluster, gateways: LosesGateways) -> None:
    names = [node.name for node in cluster.nodes]
    async with session(cluster.direct, name="lab-test") as admin, contextlib.AsyncExitStack() as stack:
        for node in cluster.nodes:
            await stack.enter_async_context(session(cluster.target, node.address, f"app-{node.name}"))
        await asyncio.gather(*(gateways.lose_gateway(name) for name in names))
        await asyncio.gather(*(gateways.lose_gateway(name) for name in names))
        assert await eventually(lambda: _nobody(cluster, admin), SOON)
    assert all([await refuses(node.address) for node in cluster.nodes])
    await asyncio.gather(*(gateways.return_gateway(name) for name in names))
    await cluster.healthy(BOUND)


async def _nobody(cluster: Cluster, admin: Any) -> bool:
    return not await names_of(cluster, admin)


async def test_a_gateway_that_does_not_exist_cannot_be_lost(gateways: LosesGateways) -> None:
    with pytest.raises(ControlRefused, match="n99"):
        await gateways.lose_gateway("n99")


# Capability: server crash


async def test_a_crash_keeps_what_was_acknowledged_and_ends_every_session(
    cluster: Cluster, server: CrashesServer
) -> None:
    async with table(cluster), contextlib.AsyncExitStack() as stack:
        sessions = [await stack.enter_async_context(session(cluster.target, node.address)) for node in cluster.nodes]
        for number, connection in enumerate(sessions, 10):
            await connection.execute("INSERT INTO conformance VALUES ($1, $1)", number)
        await sessions[0].execute("BEGIN; INSERT INTO conformance VALUES (99, 99)")

        assert await server.crash_server() > len(sessions)

        for connection in sessions:
            with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connection.fetchval("SELECT 1")
    assert await refuses(cluster.direct.addresses[0])
    await server.restart_server()
    async with session(cluster.direct) as connection:
        kept = [row["id"] for row in await connection.fetch("SELECT id FROM conformance ORDER BY id")]
    assert kept == [1, *range(10, 10 + len(cluster.nodes))]
    await cluster.healthy(BOUND)


async def test_the_process_behind_a_session_stands_still_alone_and_goes_on_with_what_it_was_asked(
    cluster: Cluster,
) -> None:
    if Capability.BACKEND_PAUSE not in cluster.capabilities:
        pytest.skip(f"{cluster.name} has no {Capability.BACKEND_PAUSE}")
    pauses = cast("PausesBackends", cluster)
    async with session(cluster.target) as stopped, session(cluster.target) as other:
        pid = await stopped.fetchval("SELECT pg_backend_pid()")
        await pauses.pause_backend(pid)
        answer = asyncio.create_task(stopped.fetchval("SELECT 1", timeout=BOUND))
        assert await other.fetchval("SELECT 2") == 2
        assert not (await asyncio.wait([answer], timeout=0.1))[0]
        await pauses.resume_backends([pid])
        assert await answer == 1
        await pauses.resume_backends([pid])
    with pytest.raises(Unhealthy, match="none of the database server's"):
        await pauses.pause_backend(os.getpid())


async def test_healing_lets_stopped_processes_go_on(cluster: Cluster) -> None:
    if Capability.BACKEND_PAUSE not in cluster.capabilities:
        pytest.skip(f"{cluster.name} has no {Capability.BACKEND_PAUSE}")
    async with session(cluster.target) as stopped:
        await cast("PausesBackends", cluster).pause_backend(await stopped.fetchval("SELECT pg_backend_pid()"))
        await cluster.heal(cluster.heals_within)
        assert await stopped.fetchval("SELECT 1") == 1


async def test_a_server_that_is_down_has_nothing_to_kill_and_one_that_is_up_needs_no_start(
    cluster: Cluster, server: CrashesServer
) -> None:
    await server.restart_server()
    assert await server.crash_server() > 0
    assert await server.crash_server() == 0
    await server.restart_server()
    await server.restart_server()
    await cluster.healthy(BOUND)


# Beginning and end


def processes(root: Path) -> tuple[int, ...]:
    (run,) = survey(root)
    return run.processes


async def test_a_cluster_that_was_never_started_is_not_healthy_and_can_be_stopped(fresh: tuple[Path, Cluster]) -> None:
    root, cluster = fresh
    with pytest.raises(Unhealthy, match="not started"):
        await cluster.healthy(1.0)
    await cluster.stop(BOUND)
    assert processes(root) == ()


async def test_stopping_leaves_no_process_and_no_port_and_the_data_come_back_with_a_new_start(
    fresh: tuple[Path, Cluster],
) -> None:
    root, cluster = fresh
    try:
        await begin(cluster)
        async with table(cluster):
            pass
        ours = () if cluster.name == "external" else cluster.direct.addresses
        addresses = (*cluster.target.addresses, *ours)

        await cluster.stop(BOUND)
        await cluster.stop(BOUND)

        assert processes(root) == ()
        assert all([await refuses(address) for address in addresses])
        with pytest.raises(Unhealthy):
            await cluster.healthy(0.1)
        await cluster.start(cluster.starts_within)
        running = processes(root)
        await cluster.start(cluster.starts_within)
        assert len(processes(root)) <= len(running)
        await cluster.healthy(BOUND)
        if cluster.name != "external":  # a database of the lab's own in somebody's cluster goes with the lab
            async with session(cluster.target) as connection:
                assert await connection.fetchval("SELECT count(*) FROM conformance") == 1
    finally:
        await cluster.stop(BOUND)


async def test_a_crashed_and_bent_cluster_stops_like_any_other(fresh: tuple[Path, Cluster]) -> None:
    root, cluster = fresh
    try:
        await begin(cluster)
        for fault in FAULTS:
            await strike(cluster, fault)
    finally:
        await cluster.stop(BOUND)
    assert processes(root) == ()


async def test_a_start_that_takes_too_long_says_so_leaves_nothing_and_can_be_tried_again(
    fresh: tuple[Path, Cluster],
) -> None:
    root, cluster = fresh
    try:
        with pytest.raises(EnvironmentProblem):
            await cluster.start(0.05)
        await cluster.stop(BOUND)
        assert processes(root) == ()
        await begin(cluster)
        await cluster.healthy(BOUND)
    finally:
        await cluster.stop(BOUND)


async def test_a_start_that_is_cancelled_leaves_nothing_once_it_is_stopped(fresh: tuple[Path, Cluster]) -> None:
    root, cluster = fresh
    starting = asyncio.create_task(cluster.start(cluster.starts_within))
    await asyncio.sleep(0.1)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await cluster.stop(BOUND)
    assert processes(root) == ()
