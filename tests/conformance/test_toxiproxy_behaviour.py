"""One behaviour, two servers: ours and a real Toxiproxy, driven by the same client.

The real one is `toxiproxy-server` on PATH, or what $TOXIPROXY_SERVER names; without it those tests are skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest

from faults.client import ControlClient
from faults.errors import ControlRefused
from faults.link import Stream
from faults.toxics import Bandwidth, Latency, LimitData, Noop, ResetPeer, Slicer, SlowClose, Timeout, Toxic
from tests.faults.wire import Peer, Server, Wire, can_connect, our_server, real_server, real_server_binary, wired

BOTH = pytest.mark.parametrize("stream", ["upstream", "downstream"])


@pytest.fixture(scope="session", params=["ours", "real"])
def either(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "ours":
        with our_server(tmp_path_factory.mktemp("conformance") / "log") as server:
            yield server
        return
    binary = real_server_binary()
    if binary is None:
        pytest.skip("no toxiproxy-server on PATH, and $TOXIPROXY_SERVER names none")
    with real_server(binary) as server:
        yield server


@pytest.fixture
async def wire(either: Server) -> AsyncIterator[Wire]:
    async with ControlClient(either.url) as control, wired(control) as wire:
        yield wire


async def bent(wire: Wire, toxic: Toxic, stream: Stream = "downstream") -> tuple[Peer, Peer]:
    """Return sender and receiver of a new connection whose *stream* has the toxic."""
    await wire.control.add(wire.name, toxic, name="toxic", stream=stream)
    client, server = await wire.connect()
    return (client, server) if stream == "upstream" else (server, client)


# --- data --------------------------------------------------------------------------------------------------------


@BOTH
async def test_data_passes_unchanged(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, Noop(), stream)
    data = bytes(range(256)) * 4096
    _, received = await asyncio.gather(sender.send(data), receiver.receive(len(data)))
    assert received == data


@BOTH
async def test_latency_delays(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, Latency(0.2), stream)
    start = time.monotonic()
    await sender.send(b"late")
    assert await receiver.receive(4) == b"late"
    assert time.monotonic() - start >= 0.198


async def test_latency_takes_hold_of_a_live_connection(wire: Wire) -> None:
    client, server = await wire.connect()
    await server.send(b"x")
    await client.receive(1)
    await wire.control.add(wire.name, Latency(0.2))
    start = time.monotonic()
    await server.send(b"late")
    assert await client.receive(4) == b"late"
    assert time.monotonic() - start >= 0.198


async def test_removing_latency_lets_go_what_it_holds(wire: Wire) -> None:
    sender, receiver = await bent(wire, Latency(3600))
    await sender.send(b"held")
    assert await receiver.quiet(0.1)
    await wire.control.remove(wire.name, "toxic")
    assert await receiver.receive(4) == b"held"


@BOTH
async def test_bandwidth_limits_the_rate(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, Bandwidth(200_000), stream)
    start = time.monotonic()
    await sender.send(bytes(80_000))
    await receiver.receive(80_000)
    assert time.monotonic() - start >= 0.35


async def test_bandwidth_zero_stands_still_until_removed(wire: Wire) -> None:
    sender, receiver = await bent(wire, Bandwidth(0))
    await sender.send(b"stuck")
    assert await receiver.quiet(0.1)
    await wire.control.remove(wire.name, "toxic")
    assert await receiver.receive(5) == b"stuck"


@BOTH
async def test_slicer_loses_nothing(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, Slicer(100, 50, delay=0.0005), stream)
    data = bytes(range(250)) * 20
    await sender.send(data)
    assert await receiver.receive(len(data)) == data


@BOTH
async def test_limit_data_passes_exactly_so_much(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, LimitData(1000), stream)
    await sender.send(bytes(1000))
    assert len(await receiver.receive(2000)) == 1000


# --- ends --------------------------------------------------------------------------------------------------------


async def test_slow_close_delays_the_end(wire: Wire) -> None:
    sender, receiver = await bent(wire, SlowClose(0.3))
    start = time.monotonic()
    await sender.send(b"data")
    sender.close()
    assert await receiver.receive(4) == b"data"
    assert await receiver.ending() == "fin"
    assert time.monotonic() - start >= 0.298


@BOTH
async def test_timeout_swallows_and_closes(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, Timeout(0.3), stream)
    start = time.monotonic()
    await sender.send(b"lost")
    assert await receiver.receive(1) == b""
    assert time.monotonic() - start >= 0.25


async def test_timeout_zero_only_swallows(wire: Wire) -> None:
    sender, receiver = await bent(wire, Timeout(0))
    await sender.send(b"lost")
    assert await receiver.quiet(0.2)


async def test_a_connection_that_lost_data_ends_when_its_timeout_toxic_goes(wire: Wire) -> None:
    sender, receiver = await bent(wire, Timeout(0))
    await sender.send(b"lost")
    assert await receiver.quiet(0.1)
    await wire.control.remove(wire.name, "toxic")
    assert await receiver.receive(1) == b""


@BOTH
async def test_reset_peer_resets_new_connections_on_both_sides(wire: Wire, stream: Stream) -> None:
    sender, receiver = await bent(wire, ResetPeer(0.1), stream)
    assert await receiver.quiet(0.1)
    await sender.send(b"lost")
    assert await receiver.ending() == "reset"
    assert await sender.ending() == "reset"


async def test_an_end_behind_data_arrives_behind_it(wire: Wire) -> None:
    sender, receiver = await bent(wire, Latency(0.1))
    await sender.send(b"data")
    sender.close()
    assert await receiver.receive(10) == b"data"


# --- which connections -------------------------------------------------------------------------------------------


async def test_toxicity_zero_bends_nothing(wire: Wire) -> None:
    await wire.control.add(wire.name, LimitData(0), toxicity=0)
    client, server = await wire.connect()
    await server.send(b"safe")
    assert await client.receive(4) == b"safe"


async def test_toxicity_one_half_bends_some(wire: Wire) -> None:
    await wire.control.add(wire.name, LimitData(0), toxicity=0.5)
    bent_ones = 0
    for _ in range(40):
        client, server = await wire.connect()
        await server.send(b"x")
        bent_ones += await client.receive(1) == b""
    assert 3 <= bent_ones <= 37


async def test_toxics_of_one_stream_add_up_and_leave_the_other_alone(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.1), name="one")
    await wire.control.add(wire.name, Latency(0.1), name="two")
    await wire.control.add(wire.name, LimitData(0), stream="upstream", toxicity=0)
    client, server = await wire.connect()
    start = time.monotonic()
    await server.send(b"x")
    assert await client.receive(1) == b"x"
    assert time.monotonic() - start >= 0.197


# --- the proxy ---------------------------------------------------------------------------------------------------


async def test_disabling_cuts_and_refuses_and_enabling_restores(wire: Wire) -> None:
    await wire.control.add(wire.name, Noop())
    client, server = await wire.connect()
    assert not (await wire.control.disable(wire.name)).enabled
    assert await client.receive(1) == b""
    assert not can_connect(wire.listen)
    again = await wire.control.enable(wire.name)
    assert (again.enabled, again.listen, len(again.toxics)) == (True, wire.listen, 1)
    client, server = await wire.connect()
    await client.send(b"x")
    assert await server.receive(1) == b"x"


async def test_an_unreachable_upstream_is_an_accepted_connection_that_ends(wire: Wire) -> None:
    wire._listener.close()
    with contextlib.suppress(ConnectionError):  # a reset from ours, a FIN from the real one
        assert await (await wire.client()).receive(1) == b""


async def test_reset_enables_and_takes_toxics_away(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(3600))
    client, server = await wire.connect()
    await server.send(b"held")
    assert await client.quiet(0.1)
    await wire.control.reset()
    assert await client.receive(4) == b"held"
    proxy = await wire.control.proxy(wire.name)
    assert (proxy.enabled, proxy.toxics) == (True, [])


async def test_toxics_are_shown_upstream_ones_first_with_their_attributes(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.005, jitter=0.001), toxicity=0.5)
    await wire.control.add(wire.name, Bandwidth(7000), stream="upstream")
    first, second = (await wire.control.proxy(wire.name)).toxics
    assert (first.name, first.type, first.stream, first.toxicity) == ("bandwidth_upstream", "bandwidth", "upstream", 1)
    assert (second.name, second.toxicity) == ("latency_downstream", 0.5)
    assert (first.attributes, second.attributes) == ({"rate": 7}, {"latency": 5, "jitter": 1})


async def test_changing_a_toxic_keeps_its_place(wire: Wire) -> None:
    await wire.control.add(wire.name, Latency(0.005))
    changed = await wire.control.update(wire.name, "latency_downstream", Latency(0.05), toxicity=0.5)
    assert (changed.attributes["latency"], changed.toxicity) == (50, 0.5)


async def test_populate_keeps_what_is_the_same_and_replaces_the_rest(wire: Wire) -> None:
    await wire.control.add(wire.name, Noop())
    [same] = await wire.control.populate([(wire.name, wire.listen, wire.upstream)])
    assert len(same.toxics) == 1
    [other] = await wire.control.populate([(wire.name, wire.listen, "127.0.0.1:1")])
    assert (other.upstream, other.toxics) == ("127.0.0.1:1", [])


@pytest.mark.parametrize(
    ("call", "status"),
    [
        (lambda control, _: control.proxy("none"), 404),
        (lambda control, _: control.delete("none"), 404),
        (lambda control, _: control.remove("p", "none"), 404),
        (lambda control, _: control.update("p", "none", Noop()), 404),
        (lambda control, wire: control.create("p", "127.0.0.1:0", wire.upstream), 409),
        (lambda control, wire: control.create("q", wire.upstream, wire.upstream), 500),
        (lambda control, _: control.create("", "127.0.0.1:0", "127.0.0.1:1"), 400),
        (lambda control, _: control.create("q", "127.0.0.1:0", ""), 400),
        (lambda control, _: control.add("p", Noop(), stream="sideways"), 400),
    ],
)
async def test_refusals_have_the_same_status(wire: Wire, call: object, status: int) -> None:
    assert callable(call)
    with pytest.raises(ControlRefused) as refused:
        await call(wire.control, wire)
    assert refused.value.status == status
    assert "q" not in await wire.control.proxies()
