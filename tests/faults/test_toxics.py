"""What each toxic does to data and to ends: on connections new and old, in both streams, changed and removed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable

import psutil
import pytest

from faults.client import ControlClient
from faults.link import Stream
from faults.toxics import Bandwidth, Latency, LimitData, Noop, ResetPeer, Slicer, SlowClose, Timeout, Toxic
from tests.faults.wire import Peer, Server, Wire

MEGABYTE = 1024 * 1024
BOTH = pytest.mark.parametrize("stream", ["upstream", "downstream"])
AGES = pytest.mark.parametrize("age", ["new", "live"])
NEVER = 3600.0
PROMPT = 5.0
"""Seconds: far below NEVER, far above what a busy machine adds."""


async def bent(wire: Wire, toxic: Toxic, stream: Stream = "downstream", *, age: str = "new") -> tuple[Peer, Peer]:
    """Return sender and receiver of a connection whose *stream* has the toxic; *age* "live" is older than it."""
    if age == "live":
        client, server = await wire.connect()
        await client.send(b"!")
        await server.receive(1)
    await wire.control.add(wire.name, toxic, name="toxic", stream=stream)
    if age == "new":
        client, server = await wire.connect()
    return (client, server) if stream == "upstream" else (server, client)


async def seconds(thing: Awaitable[object]) -> float:
    start = time.monotonic()
    await thing
    return time.monotonic() - start


# --- latency -----------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_latency_delays_data(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, Latency(0.2), stream, age=age)
    start = time.monotonic()
    await sender.send(b"late")
    assert await receiver.receive(4) == b"late"
    assert time.monotonic() - start >= 0.199


async def test_latency_leaves_the_other_stream_alone(wire: Wire) -> None:
    sender, receiver = await bent(wire, Latency(NEVER))
    await receiver.send(b"prompt")
    assert await sender.receive(6) == b"prompt"


async def test_latency_delays_overlap_and_order_is_kept_under_jitter(wire: Wire) -> None:
    sender, receiver = await bent(wire, Latency(0.15, jitter=0.1))
    start = time.monotonic()
    for number in range(100):
        await sender.send(b"%03d" % number)
        await asyncio.sleep(0.002)
    assert await receiver.receive(300) == b"".join(b"%03d" % number for number in range(100))
    assert 0.15 <= time.monotonic() - start < PROMPT  # one by one it would take 15


async def test_a_server_that_speaks_first_meets_the_toxics(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.05))
    for _ in range(20):
        client = await wire.client()
        server = await wire.accept()
        start = time.monotonic()
        await server.send(b"hello")
        await client.receive(5)
        assert time.monotonic() - start >= 0.049


async def test_latency_of_two_toxics_adds_up(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.1), name="one")
    await wire.control.add(wire.name, Latency(0.15), name="two")
    client, server = await wire.connect()
    await server.send(b"x")
    assert await seconds(client.receive(1)) >= 0.249


async def test_a_changed_latency_lets_go_what_it_holds(wire: Wire) -> None:
    sender, receiver = await bent(wire, Latency(NEVER))
    await sender.send(b"held")
    assert await receiver.quiet(0.05)
    await wire.control.update(wire.name, "toxic", Latency(0.1))
    assert await receiver.receive(4) == b"held"
    await sender.send(b"next")
    assert await seconds(receiver.receive(4)) >= 0.09


# --- bandwidth ---------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_bandwidth_limits_the_rate(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, Bandwidth(200_000), stream, age=age)
    start = time.monotonic()
    await sender.send(bytes(100_000))
    assert len(await receiver.receive(100_000)) == 100_000
    assert time.monotonic() - start >= 0.45


async def test_bandwidth_counts_for_each_connection(wire: Wire) -> None:
    await wire.control.add(wire.name, Bandwidth(200_000))
    pairs = [await wire.connect() for _ in range(20)]
    start = time.monotonic()
    for _, server in pairs:
        await server.send(bytes(60_000))
    await asyncio.gather(*(client.receive(60_000) for client, _ in pairs))
    assert 0.25 <= time.monotonic() - start < PROMPT  # together they would take 6


async def test_bandwidth_zero_is_a_standstill_until_it_is_raised(wire: Wire) -> None:
    sender, receiver = await bent(wire, Bandwidth(0))
    await sender.send(b"stuck")
    sender.shutdown()
    assert await receiver.quiet(0.1)
    await wire.control.update(wire.name, "toxic", Bandwidth(1e6))
    assert await receiver.receive(10) == b"stuck"


# --- slow_close --------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_slow_close_delays_the_end_and_not_the_data(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, SlowClose(0.3), stream, age=age)
    start = time.monotonic()
    await sender.send(b"data")
    sender.shutdown()
    assert await receiver.receive(4) == b"data"
    assert await receiver.ending() == "fin"
    assert time.monotonic() - start >= 0.299


async def test_slow_close_delays_a_reset_too(wire: Wire) -> None:
    sender, receiver = await bent(wire, SlowClose(0.2), age="live")
    sender.reset()
    start = time.monotonic()
    assert await receiver.ending() == "reset"
    assert time.monotonic() - start >= 0.19


# --- timeout -----------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_timeout_drops_data_then_closes_both_sides(wire: Wire, stream: Stream, age: str) -> None:
    start = time.monotonic()
    sender, receiver = await bent(wire, Timeout(0.3), stream, age=age)
    await sender.send(b"lost")
    assert await receiver.receive(1) == b""
    assert time.monotonic() - start >= 0.299
    assert await sender.ending() == "fin"


async def test_timeout_is_not_put_off_by_traffic(wire: Wire) -> None:
    sender, receiver = await bent(wire, Timeout(0.4))

    async def chatter() -> None:
        while True:
            await sender.send(b"x")
            await asyncio.sleep(0.05)

    talking = asyncio.create_task(chatter())
    assert await seconds(receiver.ending()) >= 0.3
    with pytest.raises(ConnectionError):
        await talking


async def test_timeout_zero_is_a_black_hole_that_never_closes(wire: Wire) -> None:
    sender, receiver = await bent(wire, Timeout(0))
    await sender.send(b"lost")
    assert await receiver.quiet(0.2)
    await receiver.send(b"the other way")
    assert await sender.receive(13) == b"the other way"


async def test_a_connection_that_lost_bytes_is_closed_when_the_black_hole_goes(wire: Wire) -> None:
    sender, receiver = await bent(wire, Timeout(0))
    spared_client, spared_server = await wire.connect()
    await sender.send(b"lost")
    assert await receiver.quiet(0.05)
    await wire.control.remove(wire.name, "toxic")
    assert await receiver.ending() == "fin"
    await spared_server.send(b"nothing lost here")
    assert await spared_client.receive(17) == b"nothing lost here"


# --- slicer ------------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_slicer_cuts_data_and_loses_none_of_it(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, Slicer(100, 50, delay=0.005), stream, age=age)
    data = bytes(range(250)) * 8
    start = time.monotonic()
    await sender.send(data)
    pieces: list[bytes] = []
    while len(b"".join(pieces)) < len(data):
        pieces.append(await receiver.some())
    assert b"".join(pieces) == data
    assert len(pieces) > 1
    assert time.monotonic() - start >= len(data) / 150 * 0.005


async def test_slicer_cuts_to_single_bytes(wire: Wire) -> None:
    sender, receiver = await bent(wire, Slicer(1))
    await sender.send(bytes(20_000))
    assert len(await receiver.receive(20_000)) == 20_000


# --- limit_data --------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_limit_data_passes_exactly_so_many_bytes_then_closes(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, LimitData(1000), stream, age=age)
    await sender.send(bytes(700))
    assert len(await receiver.receive(700)) == 700
    await sender.send(bytes(299))
    assert len(await receiver.receive(299)) == 299
    assert await receiver.quiet(0.05)
    await sender.send(b"z!")
    assert await receiver.receive(10) == b"z"


async def test_limit_data_closes_with_its_last_byte(wire: Wire) -> None:
    sender, receiver = await bent(wire, LimitData(5))
    await sender.send(b"exact")
    assert await receiver.receive(6) == b"exact"


async def test_limit_data_zero_closes_at_the_first_data(wire: Wire) -> None:
    sender, receiver = await bent(wire, LimitData(0))
    assert await receiver.quiet(0.05)
    await sender.send(b"x")
    assert await receiver.receive(1) == b""


async def test_a_raised_limit_counts_what_has_passed(wire: Wire) -> None:
    sender, receiver = await bent(wire, LimitData(5))
    await sender.send(b"abc")
    assert await receiver.receive(3) == b"abc"
    await wire.control.update(wire.name, "toxic", LimitData(8))
    await sender.send(b"defghij")
    assert await receiver.receive(10) == b"defgh"


# --- reset_peer --------------------------------------------------------------------------------------------------


@BOTH
@AGES
async def test_reset_peer_resets_both_sides_at_the_first_data(wire: Wire, stream: Stream, age: str) -> None:
    sender, receiver = await bent(wire, ResetPeer(0.1), stream, age=age)
    assert await receiver.quiet(0.05)
    start = time.monotonic()
    await sender.send(b"lost")
    assert await receiver.ending() == "reset"
    assert time.monotonic() - start >= 0.099
    assert await sender.ending() == "reset"


async def test_reset_peer_at_an_end_without_data_resets_too(wire: Wire) -> None:
    sender, receiver = await bent(wire, ResetPeer())
    sender.shutdown()
    assert await receiver.ending() == "reset"


async def test_reset_peer_with_toxicity_zero_leaves_a_close_a_fin(wire: Wire) -> None:
    await wire.control.add(wire.name, ResetPeer(), toxicity=0)
    client, server = await wire.connect()
    await server.send(b"data")
    assert await client.receive(4) == b"data"
    server.close()
    assert await client.ending() == "fin"


@pytest.mark.parametrize("toxic", [ResetPeer(NEVER), Timeout(0), Bandwidth(0), Latency(NEVER), SlowClose(NEVER)])
async def test_removing_a_waiting_toxic_answers_at_once_and_so_does_looking_at_it(wire: Wire, toxic: Toxic) -> None:
    sender, receiver = await bent(wire, toxic)
    await sender.send(b"data")
    await receiver.send(b"x")
    await sender.receive(1)
    sender.shutdown()
    assert await seconds(wire.control.proxies()) < PROMPT
    assert await seconds(wire.control.remove(wire.name, "toxic")) < PROMPT
    assert await seconds(receiver.ending()) < PROMPT
    assert (await wire.control.proxy(wire.name)).toxics == []


async def test_removing_a_toxic_with_a_full_buffer_answers_at_once_and_nothing_is_lost(wire: Wire) -> None:
    sender, receiver = await bent(wire, Bandwidth(0))
    sent = await sender.push(100 * MEGABYTE)
    assert await seconds(wire.control.remove(wire.name, "toxic")) < PROMPT
    assert len(await receiver.receive(sent)) == sent


# --- stacked -----------------------------------------------------------------------------------------------------


async def test_stacked_toxics_act_in_order_of_creation(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.2))
    await wire.control.add(wire.name, LimitData(3))
    client, server = await wire.connect()
    start = time.monotonic()
    await server.send(b"abcdef")
    assert await client.receive(10) == b"abc"
    assert time.monotonic() - start >= 0.199
    assert [record.bytes for record in await wire.control.evidence()] == [6, 6]  # the first one saw all of it


async def test_a_close_behind_data_waits_for_the_data_in_a_later_toxic(wire: Wire) -> None:
    await wire.control.add(wire.name, LimitData(3))
    await wire.control.add(wire.name, Latency(0.2))
    client, server = await wire.connect()
    start = time.monotonic()
    await server.send(b"abcdef")
    assert await client.receive(10) == b"abc"
    assert time.monotonic() - start >= 0.199
    assert [record.bytes for record in await wire.control.evidence()] == [6, 3]


# --- memory ------------------------------------------------------------------------------------------------------

PASSING = {
    "bare": None,
    "noop": Noop(),
    "latency": Latency(0.01),
    "bandwidth": Bandwidth(1e6),
    "standstill": Bandwidth(0),
    "slow_close": SlowClose(1.0),
    "slicer": Slicer(500, 100),
    "dust": Slicer(1),
    "limit_data": LimitData(1e12),
    "timeout": Timeout(0),
    "reset_peer": ResetPeer(NEVER),
}


@pytest.mark.parametrize("name", PASSING)
async def test_a_slow_reader_does_not_fill_the_proxy(wire: Wire, server: Server, name: str) -> None:
    toxic = PASSING[name]
    if toxic is not None:
        await wire.control.add(wire.name, toxic)
    if name == "dust":
        await wire.control.add(wire.name, Latency(NEVER))
    process = psutil.Process(server.process.pid)
    before = process.memory_info().rss
    client, upstream = await wire.connect()
    sent = await upstream.push(200 * MEGABYTE)
    assert process.memory_info().rss - before < 25 * MEGABYTE
    if name not in ("timeout", "reset_peer"):
        assert sent < 40 * MEGABYTE  # the rest is in the sockets' own buffers
    client.close()


@pytest.mark.parametrize("toxicity", [0.0, 0.5, 1.0])
async def test_toxicity_is_the_share_of_connections(control: ControlClient, wire: Wire, toxicity: float) -> None:
    await control.add(wire.name, LimitData(0), toxicity=toxicity)
    hit = 0
    for _ in range(60):
        client, server = await wire.connect()
        await server.send(b"x")
        hit += await client.receive(1) == b""
    assert {0.0: hit == 0, 0.5: 15 <= hit <= 45, 1.0: hit == 60}[toxicity]
