"""A proxy that vanishes: nothing is acknowledged, nothing is said, and what has ended ends when it is back."""

from __future__ import annotations

import asyncio
import errno
import socket
from typing import Any

import pytest

from faults import silence
from faults.address import format_address, parse_address
from faults.client import ControlClient
from faults.errors import BadRequest, ControlRefused
from faults.evidence import EvidenceBook
from faults.proxy import Proxy
from faults.rulebook import RuleBook
from tests.faults.wire import Peer, Wire, soon

pytestmark = pytest.mark.skipif(not silence.POSSIBLE, reason="sockets fall silent on Linux only")

GIVEN_UP = 0.2
"""Seconds without acknowledgement after which a client's kernel gives up, where it is told to."""


def impatient(sock: socket.socket) -> None:
    """Have the kernel give a connection up whose data nobody acknowledges."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(GIVEN_UP * 1000))


async def test_what_a_client_sends_is_not_acknowledged_until_the_proxy_is_back(wire: Wire) -> None:
    client, server = await wire.connect()
    await client.send(b"before")
    assert await server.receive(6) == b"before"
    assert (await wire.control.vanish(wire.name)).vanished
    await client.send(b"while it is gone")
    assert await server.quiet(0.05)
    assert silence.unacknowledged(client.sock) == 16

    assert not (await wire.control.come_back(wire.name)).vanished
    assert await server.receive(16) == b"while it is gone"


async def test_the_user_timeout_of_a_client_ends_what_a_black_hole_would_not(wire: Wire) -> None:
    client, _ = await wire.connect()
    impatient(client.sock)
    await wire.control.vanish(wire.name)
    await client.send(b"is anybody there?")
    with pytest.raises(TimeoutError) as given_up:
        await client.some()
    assert given_up.value.errno == errno.ETIMEDOUT


async def test_the_keep_alive_of_a_client_finds_that_nobody_is_there_though_all_was_acknowledged(wire: Wire) -> None:
    client, server = await wire.connect()
    client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT):
        client.sock.setsockopt(socket.IPPROTO_TCP, option, 1)
    await client.send(b"a question")
    assert await server.receive(10) == b"a question"
    await wire.control.vanish(wire.name)
    assert silence.unacknowledged(client.sock) == 0
    with pytest.raises(TimeoutError) as given_up:
        await client.some()
    assert given_up.value.errno == errno.ETIMEDOUT


async def test_what_the_server_says_meanwhile_arrives_when_the_proxy_is_back(wire: Wire) -> None:
    client, server = await wire.connect()
    await wire.control.vanish(wire.name)
    await server.send(b"an answer")
    assert await client.quiet(0.05)
    await wire.control.come_back(wire.name)
    assert await client.receive(9) == b"an answer"


@pytest.mark.parametrize("end", ["fin", "reset"])
async def test_a_server_that_ends_meanwhile_is_not_heard_of_until_the_proxy_is_back(wire: Wire, end: str) -> None:
    client, server = await wire.connect()
    await wire.control.vanish(wire.name)
    if end == "fin":
        server.close()
    else:
        server.reset()
    assert await client.quiet(0.05)
    await wire.control.come_back(wire.name)
    assert await client.ending() == end


async def test_connections_that_are_cut_meanwhile_end_when_the_proxy_is_back(wire: Wire) -> None:
    client, server = await wire.connect()
    await wire.control.vanish(wire.name)
    assert await wire.control.reset_connections(wire.name) == 1
    assert await server.ending() == "reset"
    assert await client.quiet(0.05)
    await wire.control.come_back(wire.name)
    assert await client.ending() == "reset"


@pytest.mark.parametrize(("reset", "end"), [(True, "reset"), (False, "fin")])
async def test_a_client_that_is_just_being_joined_to_its_server_hears_nothing_either(
    monkeypatch: pytest.MonkeyPatch, *, reset: bool, end: str
) -> None:
    """The proxy has the server's socket already, and not yet the client's."""
    loop, arrived, joined = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
    join = loop.connect_accepted_socket

    async def held(*arguments: Any) -> object:
        arrived.set()
        await joined.wait()
        return await join(*arguments)

    monkeypatch.setattr(loop, "connect_accepted_socket", held)
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(
            "p", "127.0.0.1:0", format_address(server.getsockname()), seed=7, evidence=EvidenceBook(), rules=RuleBook()
        )
        proxy.start()
        client = Peer(socket.create_connection(parse_address(proxy.listen, "listen")))
        try:
            await soon(arrived.wait())
            await proxy.vanish()
            assert proxy.cut_connections(reset=reset) == 1
            joined.set()
            assert await client.quiet(0.05)
            await client.send(b"is anybody there?")
            assert silence.unacknowledged(client.sock) == 17
            proxy.come_back()
            assert await client.ending() == end
        finally:
            client.close()
            proxy.close()


async def test_new_connections_meet_silence_and_are_welcome_afterwards(wire: Wire) -> None:
    await wire.control.vanish(wire.name)
    host, port = wire.listen.rsplit(":")
    with socket.socket() as sock:
        sock.setblocking(False)
        trying = asyncio.ensure_future(asyncio.get_running_loop().sock_connect(sock, (host, int(port))))
        done, _ = await asyncio.wait([trying], timeout=0.1)
        assert not done
        trying.cancel()
    await wire.control.come_back(wire.name)
    client, server = await wire.connect()
    await client.send(b"hello")
    assert await server.receive(5) == b"hello"


async def test_the_evidence_counts_the_connections_that_it_took_hold_of(wire: Wire) -> None:
    await wire.connect()
    await wire.connect()
    await wire.control.vanish(wire.name)
    await wire.control.vanish(wire.name)
    (record,) = await wire.control.evidence()
    assert (record.name, record.connections, record.until) == ("vanished", 2, None)
    assert record.first is not None
    await wire.control.reset()
    (record,) = await wire.control.evidence()
    assert record.until is not None
    assert not (await wire.control.proxy(wire.name)).vanished


async def test_a_proxy_that_goes_for_good_lets_its_clients_know(wire: Wire) -> None:
    client, _ = await wire.connect()
    await wire.control.vanish(wire.name)
    await wire.control.delete(wire.name)
    assert await client.ending() in ("fin", "reset")


async def test_a_proxy_that_is_not_there_yet_cannot_vanish(control: ControlClient) -> None:
    with pytest.raises(ControlRefused, match="vanishes when it is there"):
        await control._call("POST", "/proxies", None, {"name": "x", "upstream": "127.0.0.1:1", "vanished": True})


def test_elsewhere_than_on_linux_vanishing_is_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(silence, "POSSIBLE", False)
    with socket.socket() as sock, pytest.raises(BadRequest, match="on Linux only"):
        silence.silence(sock)
