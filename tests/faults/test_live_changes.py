"""Chains of toxics change under traffic, and the traffic does not notice: no byte lost, none out of order."""

from __future__ import annotations

import asyncio
import random

import pytest

from faults.link import Stream
from faults.toxics import Bandwidth, Latency, Noop, Slicer, SlowClose, Toxic
from tests.faults.wire import Peer, Wire, soon

SIZE = 3 * 1024 * 1024


def some_toxic(rng: random.Random) -> Toxic:
    """A toxic that bends data and loses none."""
    toxics: list[Toxic] = [
        Noop(),
        Latency(rng.uniform(0, 0.03), rng.uniform(0, 0.03)),
        Bandwidth(rng.choice([0, 1e6, 1e8])),
        Slicer(rng.randint(1, 5000), delay=rng.choice([0, 1e-4])),
        SlowClose(rng.uniform(0, 0.05)),
    ]
    return rng.choice(toxics)


async def transfer(sender: Peer, receiver: Peer, data: bytes, rng: random.Random) -> bool:
    """Send *data* in blocks of any size while the other end reads; whether it came out as it went in."""

    async def send() -> None:
        start = 0
        while start < len(data):
            stop = start + rng.choice([1, 100, 5_000, 30_000])
            await sender.send(data[start:stop])
            start = stop
            await asyncio.sleep(rng.choice([0, 0.002]))
        sender.shutdown()

    _, received = await asyncio.gather(send(), receiver.receive(len(data) + 1))
    return received == data


async def change_at_random(wire: Wire, rng: random.Random, steps: int) -> None:
    """Add, change and remove toxics on both streams; in the end there are none."""
    present: dict[str, str] = {}
    for step in range(steps):
        action = rng.choice(["add", "change", "remove", "remove"])
        if action == "add" or not present:
            stream: Stream = rng.choice(["upstream", "downstream"])
            toxic, name = some_toxic(rng), f"t{step}"
            await wire.control.add(wire.name, toxic, name=name, stream=stream, toxicity=rng.choice([1, 1, 0.5]))
            present[name] = toxic.kind
        elif action == "change":
            name = rng.choice(list(present))
            same_kind = some_toxic(rng)
            while same_kind.kind != present[name]:
                same_kind = some_toxic(rng)
            await wire.control.update(wire.name, name, same_kind, toxicity=rng.choice([None, 0, 1]))
        else:
            name = rng.choice(list(present))
            del present[name]
            await wire.control.remove(wire.name, name)
        await asyncio.sleep(rng.uniform(0, 0.01))
    await wire.control.reset()


@pytest.mark.parametrize("seed", range(8))
async def test_no_byte_is_lost_or_out_of_order_whatever_changes(wire: Wire, seed: int) -> None:
    rng = random.Random(seed)
    client, server = await wire.connect()
    there, back = rng.randbytes(SIZE), rng.randbytes(SIZE)
    there_is_right, back_is_right, _ = await soon(
        asyncio.gather(
            transfer(client, server, there, random.Random(f"there {seed}")),
            transfer(server, client, back, random.Random(f"back {seed}")),
            change_at_random(wire, rng, steps=60),
        )
    )
    assert there_is_right
    assert back_is_right


@pytest.mark.parametrize("seed", range(3))
async def test_an_end_behind_changing_toxics_arrives_behind_the_data(wire: Wire, seed: int) -> None:
    rng = random.Random(seed)
    client, server = await wire.connect()
    for name in "abc":
        await wire.control.add(wire.name, Latency(3600), name=name)
    data = rng.randbytes(100_000)
    await server.send(data)
    server.close()
    for name in rng.sample("abc", 3):
        await wire.control.remove(wire.name, name)
    assert await client.receive(len(data) + 1) == data


async def test_reset_passes_on_what_was_held_and_enables_what_was_down(wire: Wire) -> None:
    client, server = await wire.connect()
    await wire.control.add(wire.name, Latency(3600))
    await server.send(b"held")
    assert await client.quiet(0.05)
    other = await wire.control.create("other", "127.0.0.1:0", wire.upstream, enabled=False)
    assert not other.enabled
    await wire.control.reset()
    assert await client.receive(4) == b"held"
    assert all(proxy.enabled and not proxy.toxics for proxy in (await wire.control.proxies()).values())


async def test_a_toxic_goes_even_while_the_traffic_fills_every_buffer(wire: Wire) -> None:
    client, server = await wire.connect()
    await wire.control.add(wire.name, Latency(0.001))
    sending = asyncio.create_task(server.send(bytes(64 * 1024 * 1024)))
    assert len(await client.receive(1024 * 1024)) == 1024 * 1024
    await wire.control.remove(wire.name, "latency_downstream")
    assert len(await client.receive(63 * 1024 * 1024)) == 63 * 1024 * 1024
    await sending
    assert (await wire.control.evidence())[-1].until is not None
