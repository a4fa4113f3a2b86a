"""The application's engine against a real PostgreSQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import JSON, column, literal, select, text
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.db import (
    Address,
    IdempotencyKey,
    Target,
    application_engine,
    create_tables,
    drop_tables,
    session_factory,
    table_of,
)
from lab.db.drivers import Driver
from lab.db.target import Dialect
from tests.lab.db.forwarder import forwarding


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
    made = application_engine(
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
        engine = application_engine(spread, driver=driver, pool_size=4)
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
    engine = application_engine(spread, driver=driver)
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


def test_a_password_is_not_shown() -> None:
    shown = repr(Target("postgresql", (Address("h", 1),), "u", "secret", "d"))
    assert "secret" not in shown


def test_a_target_without_addresses_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one address"):
        Target("postgresql", (), "u", "p", "d")


@pytest.mark.parametrize("dialect", ["postgresql", "cockroachdb"])
def test_every_dialect_and_driver_can_be_constructed(dialect: Dialect, driver: Driver) -> None:
    engine = application_engine(Target(dialect, (Address("h", 26257),), "root", "", "defaultdb"), driver=driver)
    assert (engine.dialect.name, engine.dialect.driver) == (dialect, driver)
    assert engine.dialect.is_async


@pytest.mark.parametrize("dialect", ["postgresql", "cockroachdb"])
def test_the_key_is_taken_in_sql_that_both_databases_know(dialect: Dialect, driver: Driver) -> None:
    engine = application_engine(Target(dialect, (Address("h", 26257),), "root", "", "defaultdb"), driver=driver)
    take = insert(IdempotencyKey).values(key="k").on_conflict_do_nothing().returning(IdempotencyKey.key)
    sql = str(take.compile(dialect=engine.dialect))
    assert "ON CONFLICT DO NOTHING RETURNING idempotency_keys.key" in sql
