"""Rules and requests that do not wait for one another: pipelines, and many rows at once."""

from __future__ import annotations

import asyncio
import re
import select

import psycopg
import pytest
from psycopg.pq.abc import PGconn, PGresult

from faults.pgwire.rules import PRESETS, Rule, Where
from tests.faults.pgwire.bench import Bench, outcome
from tests.faults.wire import PATIENCE, soon


@pytest.mark.parametrize("moment", ["request", "reply"])
@pytest.mark.parametrize("sync", [False, True])
async def test_an_error_in_a_pipeline_leaves_both_sides_agreed(bench: Bench, moment: str, sync: bool) -> None:
    raw = (await bench.client("psycopg")).raw
    await bench.control.arm(Rule("r", moment, "error", Where(sql="insert"), skip=1, sqlstate="40001"))  # type: ignore[arg-type]
    await raw.set_autocommit(False)
    assert await outcome(_pipeline(raw, sync=sync)) == "40001"
    status = await bench.ask("SELECT state FROM pg_stat_activity WHERE application_name = 'app'")
    assert status == "idle in transaction (aborted)"
    await raw.rollback()
    await raw.execute("INSERT INTO t VALUES (7)")
    await raw.commit()
    assert await bench.rows() == [7]


async def _pipeline(raw: psycopg.AsyncConnection[object], *, sync: bool) -> None:
    async with raw.pipeline() as pipeline:
        for number in (1, 2, 3):
            await raw.execute("INSERT INTO t VALUES (%s)", (number,))
            if sync and number == 2:
                await pipeline.sync()


BEGIN, COMMIT, ROLLBACK = "BEGIN", "COMMIT", "ROLLBACK"
Batches = tuple[tuple[str, ...], ...]


def insert(number: int) -> str:
    return f"INSERT INTO t VALUES ({number})"  # noqa: S608 - a number


def send(raw: PGconn, batches: Batches, *, flush: bool) -> list[str]:
    """Send all batches, each with a Sync, without reading; return the command or SQLSTATE of every answer in order."""
    raw.nonblocking = 0
    raw.enter_pipeline_mode()
    for batch in batches:
        for sql in batch:
            raw.send_query_params(sql.encode(), None)
            if flush:
                raw.send_flush_request()
                raw.flush()
        raw.pipeline_sync()
    raw.flush()
    heard: list[str] = []
    while heard.count("sync") < len(batches):
        result = next_result(raw)
        heard += [answer(result)] if result is not None else []
    return heard


def next_result(raw: PGconn) -> PGresult | None:
    while raw.is_busy():  # to wait in get_result() would stop the whole process
        if not select.select([raw.socket], [], [], PATIENCE)[0]:
            raise TimeoutError("no answer")
        raw.consume_input()
    return raw.get_result()


def answer(result: PGresult) -> str:
    names = {psycopg.pq.ExecStatus.PIPELINE_SYNC: "sync", psycopg.pq.ExecStatus.PIPELINE_ABORTED: "skipped"}
    said = result.command_status or result.error_field(psycopg.pq.DiagnosticField.SQLSTATE) or b""
    return names.get(psycopg.pq.ExecStatus(result.status)) or said.decode()


async def pipeline(bench: Bench, *batches: tuple[str, ...], flush: bool = False) -> list[str]:
    raw = (await bench.client("psycopg")).raw.pgconn
    return await asyncio.to_thread(send, raw, batches, flush=flush)


@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize(
    ("where", "batches", "heard", "rows"),
    [
        pytest.param(
            insert(2),
            ((BEGIN, insert(1), insert(2), insert(3)), ("SELECT 1",), (ROLLBACK,), (insert(7),)),
            "BEGIN,INSERT 0 1,40001,skipped,sync,25P02,sync,ROLLBACK,sync,INSERT 0 1,sync",
            [7],
            id="in a transaction",
        ),
        pytest.param(
            insert(2),
            ((BEGIN,), (insert(1), insert(2)), (COMMIT,), (insert(7),)),
            "BEGIN,sync,INSERT 0 1,40001,sync,ROLLBACK,sync,INSERT 0 1,sync",
            [7],
            id="whose COMMIT is behind the Sync",
        ),
        pytest.param(
            insert(2),
            ((BEGIN, insert(1), insert(2), COMMIT, insert(3)), (insert(4),)),
            "BEGIN,INSERT 0 1,40001,skipped,skipped,sync,25P02,sync",
            [],
            id="whose COMMIT is before the Sync",
        ),
        pytest.param(
            "BEGIN",
            ((BEGIN, insert(1), COMMIT), (ROLLBACK, insert(7))),
            "40001,skipped,skipped,sync,ROLLBACK,INSERT 0 1,sync",
            [7],
            id="at its BEGIN",
        ),
        pytest.param(
            "COMMIT",
            ((BEGIN, insert(1), COMMIT, insert(2)), (insert(7),)),
            "BEGIN,INSERT 0 1,40001,skipped,sync,INSERT 0 1,sync",
            [1, 7],
            id="at its COMMIT",
        ),
    ],
)
async def test_a_reply_error_keeps_the_order_of_all_that_is_pipelined(
    bench: Bench, where: str, batches: Batches, heard: str, rows: list[int], flush: bool
) -> None:
    await bench.control.arm(Rule("r", "reply", "error", Where(sql=re.escape(where)), sqlstate="40001"))
    assert ",".join(await pipeline(bench, *batches, flush=flush)) == heard
    assert await bench.rows() == rows
    firing = await bench.firing()
    assert (firing.sql, firing.forwarded, firing.answer) == (where, True, "INSERT 0 1" if "INSERT" in where else where)
    assert (await bench.rule("r")).fired == 1


async def test_a_reply_error_outside_of_a_transaction_comes_when_the_sync_has_committed(bench: Bench) -> None:
    await bench.control.arm(Rule("r", "reply", "error", Where(sql="values .2."), sqlstate="40001"))
    heard = await pipeline(bench, (insert(1), insert(2), insert(3)), (insert(4),))
    assert heard == ["INSERT 0 1", "40001", "skipped", "sync", "INSERT 0 1", "sync"]
    assert await bench.rows() == [1, 2, 3, 4]


async def test_a_rule_that_is_taken_away_before_the_reply_lets_the_pipeline_go_on(bench: Bench) -> None:
    await bench.control.arm(Rule("r", "reply", "error", Where(sql="pg_advisory"), sqlstate="40001"))
    wait = "SELECT pg_advisory_xact_lock(1)"
    await bench.ask("SELECT pg_advisory_lock(1)")
    running = asyncio.create_task(pipeline(bench, (BEGIN, wait, insert(1), COMMIT), (insert(2),)))
    await bench.until(lambda: bench.ask("SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)"))
    await bench.control.disarm("r")
    await bench.ask("SELECT pg_advisory_unlock(1)")
    assert await soon(running) == ["BEGIN", "SELECT 1", "INSERT 0 1", "COMMIT", "sync", "INSERT 0 1", "sync"]
    assert await bench.rows() == [1, 2]


async def test_what_is_pipelined_behind_a_commit_that_fails_runs_in_a_transaction_of_its_own(bench: Bench) -> None:
    await bench.control.arm(PRESETS["serialization_failure_at_commit"]())
    heard = await pipeline(bench, (BEGIN, insert(1), COMMIT), (insert(2),), ("SELECT 1",))
    assert heard == ["BEGIN", "INSERT 0 1", "40001", "sync", "INSERT 0 1", "sync", "SELECT 1", "sync"]
    assert await bench.rows() == [2]


@pytest.mark.parametrize("moment", ["request", "reply"])
async def test_an_error_in_executemany_is_told_once_and_undone_or_done_as_a_whole(bench: Bench, moment: str) -> None:
    client = await bench.client("asyncpg")
    await bench.control.arm(Rule("r", moment, "error", Where(sql="insert"), skip=2, sqlstate="40001"))  # type: ignore[arg-type]
    many = client.raw.executemany("INSERT INTO t VALUES ($1)", [(number,) for number in range(9)])
    assert await outcome(many) == "40001"
    assert await outcome(client.run("SELECT 1")) == "ok"
    # Outside of a transaction the Sync has committed all before the reply could be struck.
    assert await bench.rows() == (list(range(9)) if moment == "reply" else [])
