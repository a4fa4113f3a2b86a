"""What is refused with a reason, what passes by, and what costs no memory."""

from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import msgspec
import psutil
import pytest

from faults.client import ControlClient
from faults.errors import ControlRefused
from faults.pgwire import messages
from tests.faults.pgwire.bench import Bench, outcome
from tests.faults.pgwire.test_framing import startup
from tests.faults.wire import Peer, Server, Wire, soon

MEGABYTE = 1024 * 1024
GOOD = {"moment": "reply", "action": "reset"}


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"moment": "replay", "action": "reset"}, "did you mean 'reply'.*request, reply"),
        ({"moment": "reply", "action": "explode"}, "known: reset, close, black_hole, delay, error, hold"),
        ({"preset": "lost_act"}, "did you mean 'lost_ack'.*lost_request"),
        ({"action": "reset"}, "missing required field: moment.*lost_ack"),
        (GOOD | {"action": "error"}, "needs a 'sqlstate'"),
        (GOOD | {"action": "error", "sqlstate": "4000"}, "five digits or capitals"),
        (GOOD | {"action": "error", "sqlstate": "00000"}, "is none"),
        (GOOD | {"sqlstate": "40001"}, "no other action takes one"),
        (GOOD | {"action": "delay"}, "'seconds' above 0"),
        (GOOD | {"seconds": 1}, "no other action takes them"),
        (GOOD | {"when": 1}, "when"),
        (GOOD | {"where": {"statment": "COMMIT"}}, "statment"),
        (GOOD | {"where": {"sql": "(("}}, r"sql pattern '\(\('"),
        (GOOD | {"where": {"statement": "connect"}}, "its moment is 'request'"),
        (GOOD | {"times": -1}, "'times' must be from 0"),
        (GOOD | {"probability": 1.5}, "'probability' must be from 0 to 1"),
        (GOOD | {"ttl": 1e9}, "'ttl' must be"),
        (GOOD | {"name": "a/b"}, "no '/'"),
        (GOOD | {"text": "a\0b"}, "NUL"),
        (GOOD | {"times": "many"}, "times"),
    ],
)
async def test_a_rule_that_cannot_be_is_refused_with_the_choices(
    bench: Bench, rule: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ControlRefused, match=reason) as refused:
        await bench.control._call("POST", "/pg/rules", None, rule)
    assert refused.value.status == 400
    assert await bench.control.rules() == []


async def test_a_rule_for_a_proxy_that_carries_bytes_is_refused_with_the_remedy(wire: Wire) -> None:
    with pytest.raises(ControlRefused, match=r"PATCH /proxies/p with .*postgresql") as refused:
        await wire.control._call("POST", "/pg/rules", None, GOOD)
    assert refused.value.status == 400


async def strangers(control: ControlClient) -> dict[str, int]:
    answer = await control._call("GET", "/pg/rules", dict[str, msgspec.Raw])
    return msgspec.json.decode(answer["strangers"], type=dict[str, int])


async def followed(wire: Wire) -> int:
    """Have the proxy follow; return how many strangers it has met."""
    await wire.control._call("POST", "/proxies/p", None, {"protocol": "postgresql"})
    return (await strangers(wire.control)).get("p", 0)


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\0\x01\0\x01\xfc", b"Q"])
async def test_a_client_that_is_none_of_postgresqls_passes_and_is_counted(wire: Wire, first: bytes) -> None:
    before = await followed(wire)
    client, server = await wire.connect()
    await client.send(first)
    assert await server.receive(len(first)) == first
    await server.send(b"E\0\0\0\0 whatever")
    assert await client.receive(14) == b"E\0\0\0\0 whatever"
    client.shutdown()
    assert await server.ending() == "fin"
    assert (await strangers(wire.control))["p"] == before + 1


async def test_a_server_that_speaks_first_passes_and_is_counted(wire: Wire) -> None:
    before = await followed(wire)
    client, server = await wire.connect()
    await client.send(b"\0\0")
    await server.send(b"J\0\0\0\n8.0 greeting")
    assert await client.receive(17) == b"J\0\0\0\n8.0 greeting"
    await client.send(b"\0\1login")
    assert await server.receive(9) == b"\0\0\0\1login"
    assert (await strangers(wire.control))["p"] == before + 1


@pytest.mark.parametrize("mode", ["prefer", "require"])
async def test_encryption_is_declined_at_once(bench: Bench, driver: str, mode: str) -> None:
    options = {"ssl": mode} if driver == "asyncpg" else {"sslmode": mode, "gssencmode": "prefer"}
    said = await outcome(bench.client(driver, **options))
    assert said == ("ok" if mode == "prefer" else "lost")


async def test_a_request_for_gss_encryption_is_declined_and_the_beginning_passes(wire: Wire) -> None:
    await followed(wire)
    client, server = await wire.connect()
    for code in (80877104, 80877103):
        await client.send(struct.pack("!II", 8, code))
        assert await client.receive(1) == b"N"
    await client.send(startup(user="u"))
    assert await server.receive(len(startup(user="u"))) == startup(user="u")


async def test_a_request_to_cancel_passes(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    if driver == "psycopg":
        running = asyncio.create_task(outcome(client.run("SELECT pg_sleep(60)")))
        sleeping = "SELECT count(*) FROM pg_stat_activity WHERE query ~ 'sleep.60' AND pid <> pg_backend_pid()"

        async def asleep() -> bool:
            return bool(await bench.ask(sleeping))

        await bench.until(asleep)
        await client.raw.cancel_safe()
        assert await soon(running) == "57014"
    else:
        with pytest.raises(TimeoutError):
            await client.raw.execute("SELECT pg_sleep(60)", timeout=0.2)
    assert await outcome(client.run("SELECT 1")) == "ok"


@pytest.mark.parametrize("side", ["client", "server"])
async def test_an_impossible_length_ends_the_connection_with_the_reason_in_the_log(
    wire: Wire, server: Server, side: str
) -> None:
    await followed(wire)
    client, upstream = await wire.connect()
    await client.send(startup(user="u"))
    await upstream.receive(len(startup(user="u")))
    bad: Peer = client if side == "client" else upstream
    await bad.send(b"X\xff\xff\xff\xff")
    assert [await client.ending(), await upstream.ending()] == ["reset", "reset"]
    assert server.log is not None
    assert "a message of kind 'X' claims a length of 4294967295 bytes" in server.log.read_text()


@pytest.mark.parametrize(("side", "kind"), [("client", b"Q"), ("client", b"d"), ("server", b"D"), ("server", b"C")])
async def test_a_huge_message_costs_no_memory(wire: Wire, server: Server, side: str, kind: bytes) -> None:
    await followed(wire)
    client, upstream = await wire.connect()
    await client.send(startup(user="u"))
    await upstream.receive(len(startup(user="u")))
    source, sink = (client, upstream) if side == "client" else (upstream, client)
    process = psutil.Process(server.process.pid)
    before, block = process.memory_info().rss, b"x" * MEGABYTE
    await source.send(kind + struct.pack("!I", 0x4000_0000))
    for _ in range(100):
        sending = asyncio.create_task(source.send(block))
        received = 0
        while received < MEGABYTE - 5:
            received += len(await sink.some())
        await sending
        assert process.memory_info().rss - before < 8 * MEGABYTE


async def test_a_hundred_megabytes_behind_a_shut_gate_wait_at_the_client(wire: Wire, server: Server) -> None:
    await followed(wire)
    await wire.control._call("POST", "/pg/rules", None, {"moment": "request", "action": "hold", "name": "h"})
    try:
        client, upstream = await wire.connect()
        await client.send(startup(user="u"))
        await upstream.receive(len(startup(user="u")))  # who speaks before that is no PostgreSQL
        await upstream.send(messages.message(b"Z", b"I"))
        await client.receive(6)
        before = psutil.Process(server.process.pid).memory_info().rss
        await client.send(messages.query("SELECT 1"))
        async with asyncio.timeout(10):
            while not (await wire.control.rules())[0].waiting:  # noqa: ASYNC110 - the question goes to another process
                await asyncio.sleep(0.01)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
        assert await client.push(100 * MEGABYTE) < 100 * MEGABYTE
        assert psutil.Process(server.process.pid).memory_info().rss - before < 8 * MEGABYTE
    finally:
        await wire.control.disarm("h")
