"""What a proxy without toxics does: it is a wire, and ends are carried as what they are."""

from __future__ import annotations

import asyncio
import random
import socket

import psutil
import pytest

from faults.client import ControlClient
from faults.toxics import Latency, Noop
from tests.faults.wire import Peer, Server, Wire, black_hole, can_connect, free_port, soon, wired

MEGABYTE = 1024 * 1024
TOXIC_OR_NONE = pytest.mark.parametrize("toxic", [None, Noop(), Latency(0.05)], ids=["bare", "noop", "latency"])


async def bend(wire: Wire, toxic: Noop | Latency | None) -> None:
    for stream in ("upstream", "downstream"):
        if toxic is not None:
            await wire.control.add(wire.name, toxic, stream=stream)


@TOXIC_OR_NONE
async def test_data_passes_in_both_directions(wire: Wire, toxic: Noop | Latency | None) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    await client.send(b"question")
    assert await server.receive(8) == b"question"
    await server.send(b"answer")
    assert await client.receive(6) == b"answer"


@TOXIC_OR_NONE
async def test_megabytes_arrive_unchanged_in_both_directions_at_once(wire: Wire, toxic: Noop | Latency | None) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    there, back = random.Random(1).randbytes(8 * MEGABYTE), random.Random(2).randbytes(8 * MEGABYTE)
    _, _, got_there, got_back = await asyncio.gather(
        client.send(there), server.send(back), server.receive(len(there)), client.receive(len(back))
    )
    assert got_there == there
    assert got_back == back


@TOXIC_OR_NONE
async def test_after_a_half_close_the_late_answer_arrives(wire: Wire, toxic: Noop | Latency | None) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    await client.send(b"all of it")
    client.shutdown()
    assert await server.receive(100) == b"all of it"
    await server.send(b"late answer")
    server.close()
    assert await client.receive(100) == b"late answer"


@TOXIC_OR_NONE
async def test_a_server_may_half_close_too(wire: Wire, toxic: Noop | Latency | None) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    server.shutdown()
    assert await client.ending() == "fin"
    await client.send(b"still talking")
    assert await server.receive(13) == b"still talking"


@TOXIC_OR_NONE
@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_reset_arrives_as_a_reset_behind_the_data(wire: Wire, toxic: Noop | Latency | None, who: str) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    await client.send(b"x")
    await server.receive(1)  # a reset that meets the dial is a failed dial, as for any client
    one, other = (client, server) if who == "client" else (server, client)
    await one.send(b"last words")
    one.reset()
    assert await other.receive(10) == b"last words"
    assert await other.ending() == "reset"


@TOXIC_OR_NONE
async def test_a_reset_after_a_half_close_still_arrives(wire: Wire, toxic: Noop | Latency | None) -> None:
    await bend(wire, toxic)
    client, server = await wire.connect()
    client.shutdown()
    assert await server.ending() == "fin"
    client.reset()
    with pytest.raises(ConnectionError):
        await send_for_ever(server)  # the first writes meet the client's RST, the next ones its echo here


async def send_for_ever(peer: Peer) -> None:
    async with asyncio.timeout(10):
        while True:
            await peer.send(bytes(1000))
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("who", ["client", "server"])
async def test_a_close_arrives_as_fin_and_the_connection_is_forgotten(wire: Wire, who: str) -> None:
    client, server = await wire.connect()
    one, other = (client, server) if who == "client" else (server, client)
    one.close()
    assert await other.ending() == "fin"
    other.close()
    await forgotten(wire)


async def forgotten(wire: Wire) -> None:
    async with asyncio.timeout(10):
        while await wire.control.connections(wire.name):  # noqa: ASYNC110 - another process, no event to wait for
            await asyncio.sleep(0.01)


async def test_live_connections_are_listed_with_addresses_and_bytes(wire: Wire) -> None:
    client, server = await wire.connect()
    await client.send(b"12345")
    await server.receive(5)
    await server.send(b"123")
    await client.receive(3)
    [connection] = await wire.control.connections(wire.name)
    assert (connection.client, connection.upstream_bytes, connection.downstream_bytes) == (client.address, 5, 3)
    host, port = server.sock.getpeername()
    assert connection.server_side == f"{host}:{port}"


# --- the upstream cannot be reached -----------------------------------------------------------------------------


async def test_a_dead_upstream_resets_the_client_and_is_counted(wire: Wire) -> None:
    await wire.control.create("dead", "127.0.0.1:0", f"127.0.0.1:{free_port()}")
    address = (await wire.control.proxy("dead")).listen
    for _ in range(3):
        with pytest.raises(ConnectionError):
            await (await wire.client(address)).receive(1)
    assert (await wire.control.proxy("dead")).failed_dials == 3


async def test_an_upstream_that_answers_no_dial_stalls_nobody_else(wire: Wire) -> None:
    with black_hole() as upstream:
        hole = await wire.control.create("hole", "127.0.0.1:0", upstream)
        waiting = [await wire.client(hole.listen) for _ in range(5)]
        client, server = await wire.connect()
        await client.send(b"x")
        assert await server.receive(1) == b"x"
        assert await waiting[0].quiet(0.1)
        assert await waiting.pop().quiet(0.05)
        await wire.control.disable("hole")
        [down] = [record for record in await wire.control.evidence() if record.name == "down"]
        assert down.connections == 5  # to their clients they were connections
        assert [await peer.ending() for peer in waiting] == ["fin"] * 4


async def test_cutting_also_resets_those_whose_server_is_being_dialled(wire: Wire) -> None:
    with black_hole() as upstream:
        hole = await wire.control.create("hole", "127.0.0.1:0", upstream)
        waiting = [await wire.client(hole.listen) for _ in range(3)]
        assert await waiting[0].quiet(0.2)
        assert await wire.control.reset_connections("hole") == 3
        assert [await peer.ending() for peer in waiting] == ["reset"] * 3
        assert (await wire.control.proxy("hole")).failed_dials == 0


async def test_a_new_upstream_also_reaches_those_who_wait_for_the_old_one(wire: Wire) -> None:
    with black_hole() as upstream:
        hole = await wire.control.create("hole", "127.0.0.1:0", upstream)
        waiting = await wire.client(hole.listen)
        assert await waiting.quiet(0.1)
        async with wire.control._open().patch(f"{wire.control.url}/proxies/hole", json={"upstream": wire.upstream}):
            assert await waiting.ending() == "reset"
        again = await wire.client(hole.listen)
        await again.send(b"x")
        assert await (await wire.accept()).receive(1) == b"x"


async def test_a_client_that_leaves_while_its_server_is_dialled_does_no_harm(wire: Wire) -> None:
    for _ in range(50):
        (await wire.client()).reset()
    client = await wire.client()
    await client.send(b"alive")
    for _ in range(51):
        server = await wire.accept()
        if await ending_or_data(server) == b"alive":
            break
    else:
        pytest.fail("the last client never came through")


async def ending_or_data(peer: Peer) -> bytes:
    try:
        return await peer.some()
    except ConnectionError:
        return b""


# --- down, and cut -----------------------------------------------------------------------------------------------


async def test_down_refuses_and_cuts_and_comes_back_on_the_same_port_with_its_toxics(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.001))
    client, server = await wire.connect()
    info = await wire.control.disable(wire.name)
    assert not info.enabled
    assert not can_connect(wire.listen)
    assert await client.ending() == "fin"
    assert await server.ending() == "fin"
    info = await wire.control.enable(wire.name)
    assert (info.enabled, info.listen, [t.name for t in info.toxics]) == (True, wire.listen, ["latency_downstream"])
    client, server = await wire.connect()
    await server.send(b"back")
    assert await client.receive(4) == b"back"


async def test_cutting_resets_live_connections_and_goes_on_listening(wire: Wire) -> None:
    pairs = [await wire.connect() for _ in range(3)]
    assert await wire.control.reset_connections(wire.name) == 3
    for client, server in pairs:
        assert await client.ending() == "reset"
        assert await server.ending() == "reset"
    client, server = await wire.connect()
    await client.send(b"new")
    assert await server.receive(3) == b"new"
    assert await wire.control.reset_connections(wire.name) == 1


async def test_connections_can_be_closed_at_once_without_a_word_to_those_that_come(wire: Wire) -> None:
    pairs = [await wire.connect() for _ in range(2)]
    assert await wire.control.close_connections(wire.name) == 2
    for client, server in pairs:
        assert await client.ending() == "fin"
        assert await server.ending() == "fin"
    client, server = await wire.connect()
    await client.send(b"new")
    assert await server.receive(3) == b"new"


async def test_deleting_a_proxy_closes_its_connections_and_frees_its_port(wire: Wire) -> None:
    client, server = await wire.connect()
    await wire.control.delete(wire.name)
    assert await client.ending() == "fin"
    assert await server.ending() == "fin"
    with socket.create_server(("127.0.0.1", int(wire.listen.rsplit(":", 1)[1]))):
        pass


# --- many ---------------------------------------------------------------------------------------------------------


async def test_many_connections_at_once_each_have_their_own_bytes(wire: Wire) -> None:
    clients = await asyncio.gather(*(wire.client() for _ in range(150)))
    for number, client in enumerate(clients):
        await client.send(b"%04d" % number)

    servers = [await wire.accept() for _ in clients]
    for peer in servers:
        await peer.send(await peer.receive(4))
    assert [await client.receive(4) for client in clients] == [b"%04d" % number for number in range(150)]


async def test_connections_that_are_over_leave_no_memory_behind(control: ControlClient, server: Server) -> None:
    async with wired(control, "brief") as wire:
        await control.add("brief", Noop())

        async def many(count: int) -> int:
            for _ in range(count):
                client, peer = await wire.connect()
                client.reset()
                await peer.ending()
                peer.close()
            await forgotten(wire)
            wire._open.clear()
            return psutil.Process(server.process.pid).memory_info().rss

        before = await many(400)
        assert await many(1600) - before < 5 * MEGABYTE
        assert psutil.Process(server.process.pid).num_fds() < 40


async def test_running_out_of_files_is_survived(wire: Wire, server: Server) -> None:
    process = psutil.Process(server.process.pid)
    limits = process.rlimit(psutil.RLIMIT_NOFILE)
    await wire.control.proxies()  # its connection is there before the files are gone
    process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 8, limits[1]))
    try:
        crowd = await asyncio.gather(*(wire.client() for _ in range(30)))
        await asyncio.sleep(0.2)
        for peer in crowd:
            peer.reset()
    finally:
        process.rlimit(psutil.RLIMIT_NOFILE, limits)
    client = await wire.client()
    await client.send(b"alive")
    while await ending_or_data(await wire.accept()) != b"alive":
        pass
    await soon(wire.control.proxies())
