"""The application's engine against a real PostgreSQL."""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, replace
from typing import Any

import psycopg
import pytest
from sqlalchemy import JSON, column, func, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.db import (
    Address,
    IdempotencyKey,
    Target,
    Waits,
    create_tables,
    drop_tables,
    resilient_engine,
    resilient_sync_engine,
    session_factory,
    table_of,
)
from lab.db.drivers import Driver, cut
from lab.db.target import Dialect
from lab.retry import Decision, Phase, classify
from tests.lab.db.forwarder import Loss, forwarding


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture
def target(postgres: Any) -> Target:
    here = Address(postgres.host, postgres.port)
    return Target("postgresql", (here,), postgres.user, postgres.password, postgres.database)


@pytest.fixture
async def engine(target: Target, driver: Driver) -> AsyncIterator[AsyncEngine]:
    made = resilient_engine(
        target, driver=driver, application_name="shop", statement_timeout=1.5, idle_in_transaction_timeout=2.5
    )
    yield made
    await made.dispose()


async def show(engine: AsyncEngine, setting: str) -> str:
    async with engine.connect() as connection:
        return str(await connection.scalar(text(f"SHOW {setting}")))


async def test_isolation_holds_at_engine_level(engine: AsyncEngine) -> None:
    assert await show(engine, "transaction_isolation") == "serializable"


async def test_the_server_knows_its_time_outs_from_the_start(engine: AsyncEngine) -> None:
    assert await show(engine, "statement_timeout") == "1500ms"
    assert await show(engine, "idle_in_transaction_session_timeout") == "2500ms"


async def test_what_a_session_sets_about_time_outs_is_not_the_default_of_others(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("SET LOCAL statement_timeout = 7000"))
    assert await show(engine, "statement_timeout") == "1500ms"


async def test_connections_are_numbered_and_go_to_the_addresses_in_turn(target: Target, driver: Driver) -> None:
    home = target.addresses[0]
    async with forwarding(home.host, home.port) as one, forwarding(home.host, home.port) as two:
        addresses = tuple(Address("127.0.0.1", gateway.port) for gateway in (one, two))
        spread = Target("postgresql", addresses, target.user, target.password, target.database)
        engine = resilient_engine(spread, driver=driver, pool_size=4)
        names = await asyncio.gather(*(name_of(engine, 4) for _ in range(4)))
        assert (one.accepted, two.accepted) == (2, 2)
        await engine.dispose()
    assert sorted(names) == ["app-0", "app-1", "app-2", "app-3"]


async def name_of(engine: AsyncEngine, users: int) -> str:
    async with engine.connect() as connection:
        for _ in range(200):  # holds the connection until all are out, so that none is used twice
            if engine.pool.checkedout() >= users:  # type: ignore[attr-defined]
                break
            await asyncio.sleep(0.01)
        return str(await connection.scalar(text("SHOW application_name")))


async def test_a_retry_after_a_lost_gateway_reaches_the_next_one(target: Target, driver: Driver) -> None:
    addresses = (Address("127.0.0.1", 1), *target.addresses)
    spread = Target("postgresql", addresses, target.user, target.password, target.database)
    engine = resilient_engine(spread, driver=driver)
    with pytest.raises(Exception, match=r"(?i)refused|connect call failed"):
        await show(engine, "application_name")
    assert await show(engine, "application_name") == "app-1"
    await engine.dispose()


@pytest.mark.parametrize("kind", [JSON(), JSONB()])
async def test_json_travels_both_ways(engine: AsyncEngine, kind: Any) -> None:
    document = {"a": [1, None, "ü"]}
    async with engine.connect() as connection:
        assert await connection.scalar(select(literal(document, kind).label("x"))) == document
        assert await connection.scalar(select(column("x", kind)).select_from(text("(SELECT '[1]'::json x) t"))) == [1]


async def test_tables_are_created_and_dropped_any_number_of_times(engine: AsyncEngine) -> None:
    tables = [table_of(IdempotencyKey)]
    for _ in range(2):
        await create_tables(engine, tables)
    async with session_factory(engine)() as session, session.begin():
        session.add(IdempotencyKey(key="a"))
    async with session_factory(engine)() as session:
        row = await session.get_one(IdempotencyKey, "a")
        assert row.created_at.tzinfo is not None
    for _ in range(2):
        await drop_tables(engine, tables)


async def test_a_ping_that_gets_no_answer_is_a_disconnect_and_the_next_connection_serves(
    target: Target, driver: Driver
) -> None:
    home = target.addresses[0]
    async with forwarding(home.host, home.port) as gateway:
        through = replace(target, addresses=(Address("127.0.0.1", gateway.port),))
        engine = resilient_engine(through, driver=driver, pool_size=1, ping_timeout=0.2, command_timeout=30)
        first = await show(engine, "application_name")
        gateway.arm(b";", Loss.SILENT_REQUEST)
        assert (first, await show(engine, "application_name")) == ("app-0", "app-1")
        assert gateway.fired == 1
        await engine.dispose()


def test_a_synchronous_engine_has_the_same_settings_and_the_same_ping(target: Target) -> None:
    engine = resilient_sync_engine(target, pool_size=1, statement_timeout=1.5, keepalive=12, tcp_user_timeout=3)
    settings = ("transaction_isolation", "statement_timeout", "application_name", "tcp_user_timeout")
    try:
        with engine.connect() as connection:
            shown = [connection.execute(text(f"SHOW {name}")).scalar_one() for name in settings[:3]]
            raw = connection.connection.driver_connection
            assert isinstance(raw, psycopg.Connection)
            assert raw.info.get_parameters()["tcp_user_timeout"] == "3000"
            assert raw.info.get_parameters()["keepalives_idle"] == "12"
        assert shown == ["serializable", "1500ms", "app-0"]
        cut(raw)
        with engine.connect() as connection:
            assert connection.execute(text("SHOW application_name")).scalar_one() == "app-1"
    finally:
        engine.dispose()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="this system has no TCP_USER_TIMEOUT")
async def test_the_kernel_is_told_when_a_silent_peer_is_gone(target: Target, driver: Driver) -> None:
    engine = resilient_engine(target, driver=driver, tcp_user_timeout=3, keepalive=12)
    async with engine.connect() as connection:
        raw = (await connection.get_raw_connection()).driver_connection
        assert raw is not None
        number = raw._transport.get_extra_info("socket").fileno() if driver == "asyncpg" else raw.fileno()
        with socket.socket(fileno=os.dup(number)) as sock:
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            options = (socket.TCP_USER_TIMEOUT, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            assert [sock.getsockopt(socket.IPPROTO_TCP, option) for option in options] == [3000, 12, 4, 3]
    await engine.dispose()


def test_waits_are_the_sum_of_what_an_engine_may_wait_for() -> None:
    waits = Waits(pool_timeout=1, ping_timeout=2, connect_timeout=0.5, command_timeout=8, close_timeout=0.25)
    assert (waits.checkout, waits.exchange, waits.unit) == (3.75, 16.25, 20.0)
    assert waits.synchronous().connect_timeout == 2


@pytest.mark.parametrize("door", [resilient_engine, resilient_sync_engine])
def test_waits_have_the_defaults_of_the_engine(door: Callable[..., object]) -> None:
    parameters = inspect.signature(door).parameters
    assert {name: parameters[name].default for name in asdict(Waits())} == asdict(Waits())


def test_a_password_is_not_shown() -> None:
    shown = repr(Target("postgresql", (Address("h", 1),), "u", "secret", "d"))
    assert "secret" not in shown


def test_a_target_without_addresses_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one address"):
        Target("postgresql", (), "u", "p", "d")


@pytest.mark.parametrize("dialect", ["postgresql", "cockroachdb"])
def test_every_dialect_and_driver_can_be_constructed(dialect: Dialect, driver: Driver) -> None:
    engine = resilient_engine(Target(dialect, (Address("h", 26257),), "root", "", "defaultdb"), driver=driver)
    assert (engine.dialect.name, engine.dialect.driver) == (dialect, driver)
    assert engine.dialect.is_async


@pytest.mark.parametrize("dialect", ["postgresql", "cockroachdb"])
def test_the_key_is_taken_in_sql_that_both_databases_know(dialect: Dialect, driver: Driver) -> None:
    engine = resilient_engine(Target(dialect, (Address("h", 26257),), "root", "", "defaultdb"), driver=driver)
    take = insert(IdempotencyKey).values(key="k").on_conflict_do_nothing().returning(IdempotencyKey.key)
    sql = str(take.compile(dialect=engine.dialect))
    assert "ON CONFLICT DO NOTHING RETURNING idempotency_keys.key" in sql


async def test_a_late_commit_is_an_unknown_outcome_that_an_application_can_catch_and_news_for_the_whole_pool(
    target: Target,
) -> None:
    home, pid = target.addresses[0], select(func.pg_backend_pid())
    async with forwarding(home.host, home.port) as gateway:
        there = replace(target, addresses=(Address("127.0.0.1", gateway.port),))
        engine = resilient_engine(there, command_timeout=0.3, close_timeout=0.1, pool_size=2, ping_timeout=None)
        try:
            async with engine.connect() as one, engine.connect() as two:
                before = {await one.scalar(pid), await two.scalar(pid)}
                gateway.arm(b"COMMIT", Loss.SILENT_REQUEST)
                with pytest.raises(OperationalError) as late:
                    await one.commit()
            assert isinstance(late.value.orig, TimeoutError)
            assert late.value.connection_invalidated
            assert classify(late.value, Phase.COMMIT) is Decision.UNKNOWN
            assert classify(late.value, Phase.STATEMENT) is Decision.RETRY
            async with engine.connect() as one, engine.connect() as two:
                assert before.isdisjoint({await one.scalar(pid), await two.scalar(pid)})
        finally:
            await engine.dispose()


async def test_a_late_statement_costs_its_own_connection_and_no_other(target: Target) -> None:
    engine = resilient_engine(target, command_timeout=0.2, pool_size=2)
    pid = select(func.pg_backend_pid())
    try:
        async with engine.connect() as one, engine.connect() as two:
            slow, calm = await one.scalar(pid), await two.scalar(pid)
            with pytest.raises(OperationalError, match="pg_sleep"):
                await one.execute(select(func.pg_sleep(3)))
        async with engine.connect() as one, engine.connect() as two:
            left = {await one.scalar(pid), await two.scalar(pid)}
        assert calm in left
        assert slow not in left
    finally:
        await engine.dispose()
