"""Rules at COPY in both directions, and at the stream of a replication, which has no reply until it is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from faults.client import ControlClient
from faults.pgwire import messages
from faults.pgwire.rules import Action, Moment, Rule, Where
from tests.faults.pgwire.bench import Bench, Client, outcome
from tests.faults.pgwire.test_framing import startup
from tests.faults.wire import Peer, soon, wired

ROWS = 20_000
SAID = {"error": "40001", "delay": "ok", "hold": "ok", "reset": "lost", "close": "lost"}
COPY_BOTH = messages.message(b"W", b"\0\0\0")
START = messages.query("START_REPLICATION SLOT s LOGICAL 0/0")
READY = messages.message(b"Z", b"I")


async def copy_in(client: Client, driver: str, rows: list[object]) -> None:
    """Put as many rows as there are; *rows* stays empty."""
    if driver == "asyncpg":
        await client.raw.copy_records_to_table("t", records=[(number,) for number in range(ROWS)])
        return
    async with client.raw.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as writer:
        for number in range(ROWS):
            await writer.write_row((number,))


async def copy_out(client: Client, driver: str, rows: list[object]) -> None:
    """Put into *rows* what comes."""
    query = f"SELECT generate_series(1, {ROWS})"
    if driver == "asyncpg":

        async def lines(data: bytes) -> None:
            rows.extend(data.split())

        await client.raw.copy_from_query(query, output=lines)
        return
    async with client.raw.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT") as reader:
        rows.extend([row async for row in reader.rows()])


@pytest.mark.parametrize("copy", [copy_in, copy_out], ids=["in", "out"])
@pytest.mark.parametrize("moment", ["request", "reply"])
@pytest.mark.parametrize("action", list(SAID))
async def test_a_copy_is_struck_like_any_statement_and_its_data_is_whole_or_not_there(
    bench: Bench, driver: str, action: Action, moment: Moment, copy: Callable[..., object]
) -> None:
    client = await bench.client(driver)
    sqlstate, seconds = ("40001" if action == "error" else None), (0.02 if action == "delay" else 0)
    where = Where(statement="COPY")
    await bench.control.arm(Rule("r", moment, action, where, sqlstate=sqlstate, seconds=seconds))
    came: list[object] = []
    running = asyncio.create_task(outcome(copy(client, driver, came)))  # type: ignore[arg-type]
    if action == "hold":
        await bench.until_waiting("r")
        await bench.control.release("r")
    said = await soon(running)
    assert said == SAID[action]
    forwarded = moment == "reply" or said == "ok"
    tag = f"COPY {ROWS}" if forwarded else "40001" if said == "40001" else None
    firing = await bench.firing()
    assert (firing.statement, firing.forwarded, firing.answer) == ("COPY", forwarded, tag)
    if said != "lost":
        assert await soon(client.run("SELECT $1::int", 1)) == [(1,)]
    assert len(came) == (ROWS if copy is copy_out and said == "ok" else 0)
    assert len(await bench.rows()) == (ROWS if copy is copy_in and forwarded else 0)


@pytest.mark.parametrize("moment", ["request", "reply"])
async def test_a_copy_whose_transaction_is_failed_by_a_rule_leaves_nothing(
    bench: Bench, driver: str, moment: Moment
) -> None:
    client = await bench.client(driver)
    await client.run("BEGIN")
    await bench.control.arm(Rule("r", moment, "error", Where(statement="COPY"), sqlstate="40001"))
    assert await outcome(copy_in(client, driver, [])) == "40001"
    assert await outcome(client.run("SELECT 1")) == "25P02"
    await client.run("ROLLBACK")
    await copy_in(client, driver, [])
    assert len(await bench.rows()) == ROWS


async def test_a_copy_that_fails_by_itself_is_the_one_that_is_struck(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await client.run("INSERT INTO t VALUES (7)")
    await bench.control.arm(Rule("r", "reply", "error", Where(), sqlstate="40001"))
    assert await outcome(copy_in(client, driver, [])) == "40001"
    assert (await bench.firing()).answer == "23505"
    assert await outcome(client.run("SELECT 1")) == "ok"
    assert await bench.rows() == [7]


@pytest.fixture
async def replication(control: ControlClient) -> AsyncIterator[tuple[Peer, Peer]]:
    """A client, and the server that it asks for a stream: played, because the embedded one does not replicate."""
    await control.forget_firings()
    async with wired(control) as wire:
        await control._call("PATCH", "/proxies/p", None, {"protocol": "postgresql"})
        client, server = await wire.connect()
        begins = startup(user="u", replication="database")
        await pass_on(begins, client, server)
        await pass_on(READY, server, client)
        yield client, server
    await control.reset()
    await control.forget_firings()


async def pass_on(data: bytes, sender: Peer, receiver: Peer, *, step: int | None = None) -> None:
    for at in range(0, len(data), step or len(data)):
        await sender.send(data[at : at + (step or len(data))])
    assert await receiver.receive(len(data)) == data


def some(number: int, size: int = 100) -> bytes:
    return messages.message(b"d", b"%c" % number * size)


@pytest.mark.parametrize("step", [None, 7])
async def test_a_replication_streams_both_ways_and_ends_while_a_rule_is_armed_for_other_statements(
    control: ControlClient, replication: tuple[Peer, Peer], step: int | None
) -> None:
    client, server = replication
    await control.arm(Rule("r", "reply", "reset", Where(sql="select")))
    done, ends = messages.message(b"C", b"START_STREAMING\0"), messages.message(b"c")
    await pass_on(START, client, server, step=step)
    await pass_on(COPY_BOTH + some(1) + some(2, 7_000), server, client, step=step)
    await pass_on(some(3) + some(4), client, server, step=step)
    await pass_on(some(5) + ends, server, client, step=step)
    await pass_on(some(6) + ends, client, server, step=step)
    await pass_on(done + READY, server, client, step=step)
    await pass_on(messages.query("SELECT 1"), client, server, step=step)
    await server.send(messages.message(b"C", b"SELECT 1\0") + READY)
    assert await client.ending() == "reset"
    assert [(firing.sql, firing.answer) for firing in await control.firings()] == [("SELECT 1", "SELECT 1")]


@pytest.mark.parametrize(("action", "ends"), [("reset", "reset"), ("close", "fin"), ("error", None), ("delay", None)])
async def test_a_rule_at_the_reply_of_a_replication_strikes_its_beginning_or_not_at_all(
    control: ControlClient, replication: tuple[Peer, Peer], action: Action, ends: str | None
) -> None:
    client, server = replication
    sqlstate, seconds = ("40001" if action == "error" else None), (0.02 if action == "delay" else 0)
    await control.arm(Rule("r", "reply", action, sqlstate=sqlstate, seconds=seconds))
    await pass_on(START, client, server)
    if ends is None:
        await pass_on(COPY_BOTH + some(1), server, client)
        await pass_on(some(2), client, server)
    else:
        await server.send(COPY_BOTH + some(1))
        assert await client.ending() == ends
    (rule,) = await control.rules()
    assert rule.fired == len(await control.firings()) == (0 if action == "error" else 1)
