"""Where rules look, how often they fire, and what becomes of what they hold."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from faults.pgwire.rules import PRESETS, Rule, Where
from tests.faults.pgwire.bench import DRIVERS, QUIET, Bench, outcome
from tests.faults.wire import soon

FAIL = {"sqlstate": "40001", "times": 0}


@pytest.mark.parametrize(
    ("where", "hit", "missed"),
    [
        (Where(statement="COMMIT"), "END", "ROLLBACK"),
        (Where(statement="COMMIT"), "/* a */ -- b\n commit work", "SELECT 'commit'"),
        (Where(statement="COMMIT"), "INSERT INTO t VALUES (9); COMMIT", "COMMIT; SELECT 1"[8:]),
        (Where(statement="ROLLBACK"), "ABORT", "COMMIT"),
        (Where(statement="BEGIN"), "START TRANSACTION", "SELECT 1"),
        (Where(sql=r"from\s+t\b"), "select a\nFROM t", "SELECT 1"),
        (Where(application_name="app-*"), "SELECT 1", None),
        (Where(application_name="app"), None, "SELECT 1"),
        (Where(proxy="p*"), "SELECT 1", None),
        (Where(proxy="q*"), None, "SELECT 1"),
    ],
)
async def test_a_rule_finds_its_statements_and_no_others(
    bench: Bench, driver: str, where: Where, hit: str | None, missed: str | None
) -> None:
    client = await bench.client(driver, "app-1")
    await bench.control.arm(Rule("r", "request", "error", where, sqlstate="40001", times=0))
    assert hit is None or await outcome(client.run(hit)) == "40001"
    assert missed is None or await outcome(client.run(missed)) == "ok"


async def test_a_rule_follows_the_name_that_a_session_gives_itself(bench: Bench, driver: str) -> None:
    client = await bench.client(driver, "before")
    await bench.control.arm(Rule("r", "request", "error", Where(application_name="after"), sqlstate="40001", times=0))
    assert await outcome(client.run("SET application_name = 'after'")) == "ok"
    assert await outcome(client.run("SELECT 1")) == "40001"


async def test_prepared_statements_are_known_by_their_text(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    for _ in range(8):  # psycopg prepares at the sixth
        await client.run("SELECT $1::int", 1)
    await bench.control.arm(Rule("r", "request", "error", Where(sql="select [$]"), sqlstate="40001"))
    assert await outcome(client.run("SELECT $1::int", 1)) == "40001"
    assert await outcome(client.run("SELECT $1::int", 1)) == "ok"


async def test_skip_and_times_choose_the_nth(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "request", "error", Where(sql="select"), sqlstate="40001", skip=2, times=2))
    heard = [await outcome(client.run("SELECT 1")) for _ in range(6)]
    assert heard == ["ok", "ok", "40001", "40001", "ok", "ok"]
    rule = await bench.rule("r")
    assert (rule.matched, rule.fired) == (6, 2)


async def test_the_same_seed_draws_the_same(bench: Bench) -> None:
    client = await bench.client("asyncpg")
    rounds = []
    for seed in (1, 1, 2):
        rule = Rule("r", "request", "error", Where(sql="select"), sqlstate="40001", times=0, probability=0.5, seed=seed)
        await bench.control.arm(rule)
        rounds.append([await outcome(client.run("SELECT 1")) for _ in range(30)])
        await bench.control.disarm("r")
    assert rounds[0] == rounds[1] != rounds[2]
    assert {"ok", "40001"} == set(rounds[0])


async def test_a_rule_is_gone_after_its_time_and_lets_go(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "request", "hold", Where(sql="select"), ttl=0.1))
    assert await outcome(client.run("SELECT 1")) == "ok"
    assert await bench.control.rules() == []


@pytest.mark.parametrize("way", ["disarm", "clear", "reset"])
async def test_taking_a_rule_away_releases_what_it_holds(bench: Bench, driver: str, way: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "reply", "hold", Where(sql="select")))
    running = asyncio.create_task(outcome(client.run("SELECT 1")))
    await bench.until_waiting("r")
    if way == "reset":
        await bench.control.reset()
    elif way == "disarm":
        await bench.control.disarm("r")
    else:
        await bench.control._call("DELETE", "/pg/rules", None)
    assert await soon(running) == "ok"
    assert await bench.control.rules() == []


async def test_disarming_ends_what_fell_into_a_black_hole(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "request", "black_hole", Where(sql="select")))
    running = asyncio.create_task(outcome(client.run("SELECT 1")))
    await bench.until_waiting("r")
    await bench.control.disarm("r")
    assert await soon(running) == "lost"
    await bench.until_alone()


@pytest.mark.parametrize("moment", ["request", "reply"])
@pytest.mark.parametrize("action", ["hold", "black_hole"])
async def test_nothing_stays_of_a_client_that_goes_away_while_it_is_held(
    bench: Bench, driver: str, action: str, moment: str
) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", moment, action, Where(sql="insert")))  # type: ignore[arg-type]
    assert await outcome(client.run("INSERT INTO t VALUES ($1)", 1), client, patience=QUIET) == "quiet"
    await bench.until_alone()
    assert (await bench.rule("r")).waiting == 0
    assert await bench.rows() == ([1] if moment == "reply" else [])


async def test_a_delayed_request_arrives_even_if_its_client_has_gone(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "request", "delay", Where(sql="insert"), seconds=2 * QUIET))
    assert await outcome(client.run("INSERT INTO t VALUES (1)"), client, patience=QUIET / 2) == "quiet"
    assert await bench.rows() == []
    await bench.until_alone()
    assert await bench.rows() == [1]


async def test_a_claim_whose_reply_never_comes_is_given_back(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "reply", "reset", Where(sql="pg_sleep")))
    running = asyncio.create_task(outcome(client.run("SELECT pg_sleep(60)")))
    pid = "SELECT pid FROM pg_stat_activity WHERE query ~ 'sleep.60' AND pid <> pg_backend_pid()"

    async def asleep() -> bool:
        return await bench.ask(pid) is not None

    await bench.until(asleep)
    await bench.control._call("POST", "/proxies/pg", None, {"enabled": False})
    assert await soon(running) == "lost"
    assert (await bench.rule("r")).fired == 0
    assert await bench.control.firings() == []


async def test_the_end_of_an_idle_session_reaches_the_client(bench: Bench, driver: str) -> None:
    client = await bench.client(driver, f"idle-{driver}")
    await bench.control.arm(Rule("r", "reply", "error", Where(statement="COMMIT"), sqlstate="40001"))
    kill = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1"
    assert await bench.ask(kill, f"idle-{driver}")

    async def heard() -> bool:
        if driver == "asyncpg":  # which notices by itself
            return bool(client.raw.is_closed())
        return await outcome(client.run("SELECT 1")) in ("57P01", "lost")

    await bench.until(heard)
    await client.close()
    await bench.until_alone()


async def test_refused_at_the_door(bench: Bench, driver: str) -> None:
    await bench.control.arm(PRESETS["too_many_connections"]())
    assert await outcome(bench.client(driver)) in ("53300", "lost")  # libpq's connect error has no SQLSTATE
    assert await outcome(bench.client(driver)) == "ok"
    assert (await bench.firing()).statement == "CONNECT"


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "too_many_connections"])
async def test_a_pooled_connection_is_good_again_after_every_preset(bench: Bench, driver: str, preset: str) -> None:
    where = bench.proxied
    url = URL.create(f"postgresql+{driver}", where.user, where.password, where.host, where.port, where.name)
    engine = create_async_engine(url, pool_size=1, max_overflow=0, pool_pre_ping=True)
    try:
        async with engine.begin() as connection:
            await connection.execute(text("SELECT 1"))
        await bench.control.arm(PRESETS[preset]())
        failed = False
        for number in (1, 2):
            try:
                async with asyncio.timeout(10), engine.begin() as connection:
                    await connection.execute(text("INSERT INTO t VALUES (:a)"), {"a": number})
            except DBAPIError:
                failed = True
        assert failed or preset == "admin_shutdown"  # which the pool's ping may meet
        assert (await bench.rule(preset)).fired == 1
        applied = preset in ("lost_ack", "ambiguous_result") or not failed
        assert await bench.rows() == ([1, 2] if applied else [2])
    finally:
        await engine.dispose()


@pytest.mark.parametrize("driver", DRIVERS)
async def test_large_results_pass_a_rule_that_has_fired_whole(bench: Bench, driver: str) -> None:
    client = await bench.client(driver)
    await bench.control.arm(Rule("r", "reply", "delay", Where(sql="generate"), seconds=0.01))
    rows = await soon(client.run("SELECT repeat('x', 50000) FROM generate_series(1, $1::int)", 200))
    assert [len(row[0]) for row in rows] == [50_000] * 200
