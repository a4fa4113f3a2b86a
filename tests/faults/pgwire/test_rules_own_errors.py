"""A rule at the reply of a statement that fails by itself: the firing is that statement's, and nobody else's."""

from __future__ import annotations

import asyncio

import pytest

from faults.pgwire.rules import ACTIONS, Action, Rule, Where
from tests.faults.pgwire.bench import QUIET, Bench, Client, outcome
from tests.faults.wire import PATIENCE, soon

DIVIDE = "SELECT 1 / $1::int"
SAID = {"reset": "lost", "close": "lost", "black_hole": "quiet", "delay": "22012", "error": "40001", "hold": "22012"}


async def simple(client: Client) -> None:
    await client.run("SELECT 1 / 0")


async def while_it_is_bound(client: Client) -> None:
    """The server divides when it plans, so the answer to Bind is the error, and Execute gets none."""
    await client.run(DIVIDE, 0)


async def prepared(client: Client) -> None:
    for _ in range(8):  # psycopg prepares at the sixth
        await client.run(DIVIDE, 1)
    await client.run(DIVIDE, 0)


@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a transaction"])
@pytest.mark.parametrize("statement", [simple, while_it_is_bound, prepared], ids=lambda run: run.__name__)
@pytest.mark.parametrize("action", ACTIONS)
async def test_the_firing_belongs_to_the_statement_that_failed(
    bench: Bench, driver: str, action: Action, statement: object, inside: bool
) -> None:
    client = await bench.client(driver)
    if inside:
        await client.run("BEGIN")
    skip = 8 if statement is prepared else 0
    sqlstate, seconds = ("40001" if action == "error" else None), (0.02 if action == "delay" else 0)
    where = Where(statement="SELECT")
    await bench.control.arm(Rule("r", "reply", action, where, sqlstate=sqlstate, seconds=seconds, skip=skip))
    patience = QUIET if action == "black_hole" else PATIENCE
    running = asyncio.create_task(outcome(statement(client), client, patience=patience))  # type: ignore[operator]
    if action == "hold":
        await bench.until_waiting("r")
        await bench.control.release("r")
    said = await soon(running)
    assert said == SAID[action]
    firing = await bench.firing()
    assert (firing.answer, firing.forwarded, "1 /" in firing.sql) == ("22012", True, True)
    if said in ("22012", "40001"):
        assert await outcome(client.run("SELECT 2")) == ("25P02" if inside else "ok")
        assert not inside or await outcome(client.run("ROLLBACK")) == "ok"
        assert await soon(client.run("SELECT $1::int", 3)) == [(3,)]
    assert (await bench.rule("r")).fired == len(await bench.control.firings()) == 1


async def test_a_rule_for_all_statements_strikes_the_failed_one_and_the_next_apart(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "reply", "error", Where(statement="SELECT"), sqlstate="40001", times=0))
    assert await outcome(client.run(DIVIDE, 0)) == "40001"
    assert await outcome(client.run(DIVIDE, 1)) == "40001"
    assert [firing.answer for firing in await bench.control.firings()] == ["22012", "SELECT 1"]


async def test_a_statement_that_another_ones_failure_skips_is_not_struck(bench: Bench) -> None:
    raw = (await bench.client("psycopg")).raw
    await bench.control.arm(Rule("r", "reply", "error", Where(sql="insert"), sqlstate="40001"))

    async def pipelined() -> None:
        async with raw.pipeline():
            await raw.execute("SELECT 1 / %s::int", (0,))
            await raw.execute("INSERT INTO t VALUES (%s)", (1,))

    assert await outcome(pipelined()) == "22012"
    assert await bench.control.firings() == []
    assert await outcome(raw.execute("INSERT INTO t VALUES (%s)", (2,))) == "40001"
    assert (await bench.rule("r")).fired == 1
