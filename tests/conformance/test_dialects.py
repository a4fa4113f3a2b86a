"""cockroachdb and postgresql, asyncpg and psycopg: the same application code means the same on all four."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import get_args

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.ext.asyncio.session import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column
from sqlalchemy.orm.exc import StaleDataError

from faults.pgwire.rules import serialization_failure
from lab.clusters.base import Cluster
from lab.db import IdempotencyKey, create_tables, drop_tables, resilient_engine, session_factory, table_of
from lab.db.dialects import open_transactions
from lab.db.drivers import Driver
from lab.retry import AlreadyApplied, RetryPolicy, sqlstate

pytestmark = pytest.mark.timeout(120)


class _Base(MappedAsDataclass, DeclarativeBase):
    """A base of its own: these tables are nobody else's."""


class Counted(_Base):
    """A counter with a version, as applications without locks have it."""

    __tablename__ = "dialect_counters"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]
    version: Mapped[int] = mapped_column(init=False)

    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012 - as SQLAlchemy wants it


@pytest.fixture(params=get_args(Driver))
async def engine(cluster: Cluster, request: pytest.FixtureRequest) -> AsyncIterator[AsyncEngine]:
    """The application's engine with each driver, and a counter."""
    made = resilient_engine(cluster.target, driver=request.param)
    async with made.begin() as connection:
        await connection.run_sync(_Base.metadata.drop_all)
    async with made.begin() as connection:
        await connection.run_sync(_Base.metadata.create_all)
    async with session_factory(made)() as session, session.begin():
        session.add(Counted(id=1, value=0))
    yield made
    await made.dispose()


@pytest.fixture
def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    return session_factory(engine)


async def test_the_dialect_is_the_one_of_the_server(cluster: Cluster, engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        version = str(await connection.scalar(text("SELECT version()")))
    assert engine.dialect.name == ("cockroachdb" if version.startswith("CockroachDB") else "postgresql")
    assert cluster.direct.dialect == engine.dialect.name


async def test_row_counts_are_told_as_they_are(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session, session.begin():
        for number, rows in ((1, 1), (99, 0)):
            done = await session.execute(update(Counted).where(Counted.id == number).values(value=7))
            assert done.rowcount == rows  # type: ignore[attr-defined]  # an UPDATE's result is a cursor's


async def test_a_stale_version_is_an_error_and_never_a_lost_update(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        stale = await session.get_one(Counted, 1)
        await session.commit()  # what was read stays readable
        async with sessions() as other, other.begin():
            (await other.get_one(Counted, 1)).value = 1

        stale.value = 2
        with pytest.raises(StaleDataError):
            await session.commit()

    async with sessions() as session:
        assert await session.scalar(select(Counted.value)) == 1


async def test_a_savepoint_takes_back_only_what_came_after_it(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session, session.begin():
        session.add(Counted(id=2, value=2))
        await session.flush()
        nested = await session.begin_nested()
        session.add(Counted(id=3, value=3))
        await session.flush()
        await nested.rollback()
    async with sessions() as session:
        assert set(await session.scalars(select(Counted.id))) == {1, 2}


async def test_rows_can_be_taken_one_by_one_and_the_transaction_goes_on(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    async with sessions() as session, session.begin():
        many = "INSERT INTO dialect_counters (id, value, version) SELECT n, n, 1 FROM generate_series(2, 29) AS g (n)"
        await session.execute(text(many))
        first = (await session.scalars(select(Counted.id).order_by(Counted.id))).first()
        one = await session.scalar(select(Counted.value).where(Counted.id == 29))
    assert (first, one) == (1, 29)


async def test_a_unit_with_a_key_is_applied_once_through_a_serialization_failure(
    cluster: Cluster, engine: AsyncEngine, sessions: async_sessionmaker[AsyncSession]
) -> None:
    await drop_tables(engine, [table_of(IdempotencyKey)])
    await create_tables(engine, [table_of(IdempotencyKey)])
    met: list[str | None] = []
    policy = RetryPolicy(observe=lambda observation: met.append(sqlstate(observation.error)))

    async def increment(session: AsyncSession) -> None:
        (await session.get_one(Counted, 1)).value += 1

    await cluster.control.arm(serialization_failure())
    await policy(sessions, increment, key="unit")
    again = await policy(sessions, increment, key="unit")

    assert met == ["40001"]
    assert again == AlreadyApplied("unit")
    async with sessions() as session:
        assert await session.scalar(select(Counted.value)) == 1


async def test_a_transaction_that_is_left_open_is_seen_on_the_server(cluster: Cluster, engine: AsyncEngine) -> None:
    lab = resilient_engine(cluster.direct, application_name="lab-direct")
    try:
        async with engine.connect() as connection:
            await connection.execute(text("SELECT 1"))
            assert await open_transactions(lab, "app-") == 1
        assert await open_transactions(lab, "app-") == 0
    finally:
        await lab.dispose()
