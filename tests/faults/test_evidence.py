"""What is on record about each fault: whom it touched, how often, how many bytes, since when and until when."""

from __future__ import annotations

import time

import pytest

from faults.client import ControlClient, EvidenceInfo
from faults.evidence import MOST_CONNECTIONS, MOST_COUNTED, MOST_ENDED, MOST_LISTED, EvidenceBook
from faults.toxics import Bandwidth, Latency, LimitData, Noop, ResetPeer, Slicer, SlowClose, Timeout, Toxic
from tests.faults.wire import Wire

TOXICS: dict[str, tuple[Toxic, int, int]] = {  # what it records when 100 bytes and then an end come by: events, bytes
    "noop": (Noop(), 0, 0),
    "no latency": (Latency(0), 0, 0),
    "latency": (Latency(0.05), 1, 100),
    "bandwidth": (Bandwidth(10_000), 1, 100),
    "slow_close": (SlowClose(0.05), 1, 100),
    "timeout": (Timeout(3600), 1, 100),
    "slicer": (Slicer(10), 9, 100),
    "slicer with delay": (Slicer(10, delay=0.001), 10, 100),
    "large slices": (Slicer(100), 0, 0),
    "limit_data": (LimitData(50), 1, 100),
    "limit not reached": (LimitData(101), 0, 0),
    "reset_peer": (ResetPeer(0.01), 3, 100),
}


async def record_of(control: ControlClient, name: str) -> EvidenceInfo:
    return next(record for record in reversed(await control.evidence()) if record.name == name)


async def hundred_bytes_and_an_end(wire: Wire) -> str:
    client, server = await wire.connect()
    await server.send(bytes(100))
    if "timeout" not in str((await wire.control.proxy(wire.name)).toxics):
        try:
            await client.receive(100)
        except ConnectionError:
            return client.address
    server.shutdown()
    await client.ending()
    return client.address


@pytest.mark.parametrize("name", TOXICS)
async def test_each_toxic_records_what_it_did(wire: Wire, name: str) -> None:
    toxic, events, size = TOXICS[name]
    await wire.control.add(wire.name, toxic, name="it")
    address = await hundred_bytes_and_an_end(wire)
    record = await record_of(wire.control, "it")
    assert (record.events, record.bytes, record.type) == (events, size, toxic.kind)
    assert record.connections == len(record.touched) == min(1, events)
    assert [touched.client for touched in record.touched] == [address] * min(1, events)


@pytest.mark.parametrize("name", TOXICS)
async def test_a_toxicity_of_zero_leaves_no_event(wire: Wire, name: str) -> None:
    await wire.control.add(wire.name, TOXICS[name][0], name="it", toxicity=0)
    client, server = await wire.connect()
    await server.send(bytes(100))
    assert len(await client.receive(100)) == 100
    server.close()
    assert await client.ending() == "fin"
    record = await record_of(wire.control, "it")
    assert (record.events, record.bytes, record.connections, record.first) == (0, 0, 0, None)


async def test_times_tell_when_and_the_record_survives_the_removal(wire: Wire) -> None:
    before = time.time()
    await wire.control.add(wire.name, Latency(0.01), name="it", stream="upstream")
    for _ in range(3):
        client, server = await wire.connect()
        await client.send(b"x")
        await server.receive(1)
    live = await record_of(wire.control, "it")
    assert live.until is None
    await wire.control.remove(wire.name, "it")
    record = await record_of(wire.control, "it")
    assert record.first is not None
    assert record.last is not None
    assert record.until is not None
    assert before <= record.since <= record.first < record.last <= record.until <= time.time()
    assert (record.stream, record.events, record.bytes, record.connections) == ("upstream", 3, 3, 3)
    await wire.control.delete(wire.name)
    assert (await record_of(wire.control, "it")).events == 3


async def test_the_end_of_a_black_holes_connections_is_on_its_record(wire: Wire) -> None:
    await wire.control.add(wire.name, Timeout(0), name="it")
    client, server = await wire.connect()
    await server.send(b"lost")
    assert await client.quiet(0.05)
    await wire.control.remove(wire.name, "it")
    assert await client.ending() == "fin"
    assert (await record_of(wire.control, "it")).events == 2  # dropped, closed


async def test_down_and_cut_are_on_record_with_those_they_hit(wire: Wire) -> None:
    clients = [(await wire.connect())[0].address for _ in range(2)]
    await wire.control.reset_connections(wire.name)
    cut = await record_of(wire.control, "cut")
    assert sorted(touched.client for touched in cut.touched) == sorted(clients)
    client, _ = await wire.connect()
    await wire.control.disable(wire.name)
    assert (await record_of(wire.control, "down")).until is None
    await wire.control.enable(wire.name)
    down = await record_of(wire.control, "down")
    assert [touched.client for touched in down.touched] == [client.address]
    assert down.until is not None


async def test_forgetting_keeps_what_is_in_force(wire: Wire) -> None:
    await wire.control.add(wire.name, Noop(), name="gone")
    await wire.control.remove(wire.name, "gone")
    await wire.control.add(wire.name, Noop(), name="here")
    await wire.control.forget_evidence()
    assert [record.name for record in await wire.control.evidence()] == ["here"]


def test_a_record_lists_many_connections_counts_more_and_stays_bounded() -> None:
    record = EvidenceBook().open("p", "it", "noop")
    for connection in range(MOST_CONNECTIONS + MOST_COUNTED + 10):
        record.note(connection, "c", 2)
        record.note(connection, "c", 1)
    assert record.events == 2 * (MOST_CONNECTIONS + MOST_COUNTED + 10)
    assert record.connections == MOST_CONNECTIONS + MOST_COUNTED
    assert len(record.touched) == MOST_CONNECTIONS
    assert (record.touched[0].events, record.touched[0].bytes) == (2, 3)


def test_nothing_is_added_to_a_record_that_has_ended() -> None:
    book = EvidenceBook()
    record = book.open("p", "it", "noop")
    record.note(1, "c", 5)
    book.end(record)
    record.note(1, "c", 5)
    assert (record.events, record.bytes) == (1, 5)


def test_the_oldest_ended_records_make_room() -> None:
    book = EvidenceBook()
    for number in range(MOST_ENDED + 5):
        book.end(book.open("p", str(number), "noop"))
    names = [record.name for record in book]
    assert (len(names), names[0], names[-1]) == (MOST_ENDED, "5", str(MOST_ENDED + 4))


def test_ended_records_list_a_bounded_number_of_connections_in_all() -> None:
    book = EvidenceBook()
    for number in range(30):
        record = book.open("p", str(number), "noop")
        for connection in range(MOST_CONNECTIONS):
            record.note(connection, "c")
        book.end(record)
    assert sum(len(record.touched) for record in book) == MOST_LISTED
