"""One seed decides every draw: which connections a toxic takes, and how it jitters."""

from __future__ import annotations

from pathlib import Path

from faults.client import ControlClient
from faults.toxics import LimitData, Slicer
from tests.faults.wire import Wire, our_server, wired


async def taken(wire: Wire, count: int) -> list[bool]:
    """Which of *count* connections in a row a LimitData(0) takes."""
    hits = []
    for _ in range(count):
        client, server = await wire.connect()
        await server.send(b"x")
        hits.append(await client.receive(1) == b"")
    return hits


async def draws(log: Path, *arguments: str) -> list[bool]:
    with our_server(log, *arguments) as server:
        async with ControlClient(server.url) as control, wired(control) as wire:
            await control.add("p", LimitData(0), toxicity=0.5)
            return await taken(wire, 24)


async def test_the_same_seed_takes_the_same_connections_and_another_one_others(tmp_path: Path) -> None:
    first = await draws(tmp_path / "log", "--seed", "1")
    assert await draws(tmp_path / "log", "--seed", "1") == first
    assert await draws(tmp_path / "log", "--seed", "2") != first


async def test_draws_belong_to_the_number_of_the_connection_whatever_happened_to_the_toxic(wire: Wire) -> None:
    await wire.control.add(wire.name, LimitData(0), toxicity=0.5)
    first = await taken(wire, 24)
    await wire.control.delete(wire.name)
    await wire.create()
    await wire.control.add(wire.name, LimitData(0), toxicity=0.5)
    assert await taken(wire, 24) == first


async def test_jitter_is_the_same_for_the_same_seed(wire: Wire) -> None:
    async def slices() -> list[int]:
        await wire.control.add(wire.name, Slicer(100, 90))
        for _ in range(6):
            client, server = await wire.connect()
            await server.send(bytes(1000))
            await client.receive(1000)
        [record] = [evidence for evidence in await wire.control.evidence() if evidence.until is None]
        return [touched.events for touched in record.touched]

    first = await slices()
    assert len(set(first)) > 1
    await wire.control.delete(wire.name)
    await wire.create()
    assert await slices() == first
