"""The workplace of the retry tests: two engines, a counter, and ways to make PostgreSQL fail on purpose."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from random import Random

from sqlalchemy import BigInteger, Text, func, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lab.db import (
    Base,
    IdempotencyKey,
    Target,
    create_tables,
    drop_tables,
    resilient_engine,
    session_factory,
    table_of,
)
from lab.db.drivers import Driver
from lab.retry import Backoff, RetryPolicy, Sessions


class Counter(Base):
    """A row that is read, incremented and written back: lost and doubled updates show."""

    __tablename__ = "retry_test_counter"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger, default=0)


class Effect(Base):
    """One row for each time that a unit of work was applied."""

    __tablename__ = "retry_test_effect"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True, init=False)
    unit: Mapped[str] = mapped_column(Text)


TABLES = [table_of(model) for model in (Counter, Effect, IdempotencyKey)]

# A bare RAISE needs a block; a constraint trigger that is deferred makes the same error strike at COMMIT.
SQL_FAIL_AT_COMMIT = (
    """CREATE OR REPLACE FUNCTION retry_test_fail() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = current_setting('lab.fail'); END $$""",
    """CREATE CONSTRAINT TRIGGER retry_test_fail AFTER INSERT ON retry_test_effect DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.unit = 'fail at commit') EXECUTE FUNCTION retry_test_fail()""",
)


@dataclass(frozen=True, slots=True)
class Bench:
    """An *engine* through the forwarder, and an *admin* engine past it that outlives every fault."""

    engine: AsyncEngine
    admin: AsyncEngine
    target: Target
    driver: Driver

    @property
    def sessions(self) -> Sessions:
        """The application's sessions."""
        return session_factory(self.engine)

    async def effects(self, unit: str) -> int:
        """Return how many times *unit* was applied."""
        async with session_factory(self.admin)() as session:
            return await session.scalar(select(func.count()).where(Effect.unit == unit)) or 0

    async def keys(self) -> Sequence[str]:
        """Return the idempotency keys in the database."""
        async with session_factory(self.admin)() as session:
            return (await session.scalars(select(IdempotencyKey.key))).all()

    async def value(self, name: str) -> int | None:
        """Return the value of a counter."""
        async with session_factory(self.admin)() as session:
            counter = await session.get(Counter, name)
            return counter.value if counter else None

    async def terminate(self, application_name: str) -> int:
        """End the backends called *application_name* (a LIKE pattern) and wait until they are gone; return how many."""
        victims = text("SELECT pid FROM pg_stat_activity WHERE application_name LIKE :name")
        end = text("SELECT pg_terminate_backend(:pid, 5000)")  # waits up to 5000 ms for the end
        async with self.admin.connect() as connection:
            pids = (await connection.scalars(victims, {"name": application_name})).all()
            for pid in pids:
                await connection.execute(end, {"pid": pid})
        return len(pids)


async def apply(session: AsyncSession, unit: str) -> str:
    """The unit of work of these tests: one effect."""
    session.add(Effect(unit=unit))
    await session.flush()
    return unit


async def fail(session: AsyncSession, sqlstate: str) -> None:
    """Make the running statement fail with *sqlstate*."""
    block = f"DO $$ BEGIN RAISE EXCEPTION 'on purpose' USING ERRCODE = '{sqlstate}'; END $$"
    await session.execute(text(block))


async def fail_at_commit(session: AsyncSession, sqlstate: str) -> None:
    """Make COMMIT fail with *sqlstate*."""
    await session.execute(text("SELECT set_config('lab.fail', :state, true)"), {"state": sqlstate})
    session.add(Effect(unit="fail at commit"))
    await session.flush()


@asynccontextmanager
async def bench(target: Target, direct: Target, driver: Driver) -> AsyncIterator[Bench]:
    """Set up the tables and both engines; take everything down at the end."""
    admin = resilient_engine(direct, application_name="admin", isolation_level="READ COMMITTED")
    engine = resilient_engine(target, driver=driver, pool_size=10, command_timeout=3.0)
    await drop_tables(admin, TABLES)
    await create_tables(admin, TABLES)
    try:
        async with admin.begin() as connection:
            for statement in SQL_FAIL_AT_COMMIT:
                await connection.execute(text(statement))
        yield Bench(engine, admin, target, driver)
    finally:
        await engine.dispose()
        await drop_tables(admin, TABLES)
        await admin.dispose()


QUICK = Backoff(first=0.001, longest=0.01)


def quick_policy(**options: object) -> RetryPolicy:
    """A policy with short waits and a seed."""
    return RetryPolicy(**({"backoff": QUICK, "later": QUICK, "random": Random(1), "deadline": 10.0} | options))  # type: ignore[arg-type]


def checked_out(lab: Bench) -> int:
    out: int = lab.engine.pool.checkedout()  # type: ignore[attr-defined]
    return out
