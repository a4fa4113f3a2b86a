"""Monotonic: each insert takes the highest value plus one, with the database's time: their orders agree."""

from __future__ import annotations

import random as random_module
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from sqlalchemy import BigInteger, Numeric, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import monotonic_checks
from lab.db.dialects import database_time
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables


class Stamped(Base):
    """A value, and when the database says that it was inserted. *value* is not unique on purpose."""

    __tablename__ = "stamped_values"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    value: Mapped[int] = mapped_column(BigInteger, index=True)
    stamp: Mapped[Decimal] = mapped_column(Numeric(40, 10))
    process: Mapped[int]


@dataclass(frozen=True, slots=True)
class Monotonic:
    """A share *reads* (0 to 1) of the operations reads all rows, the others insert."""

    reads: float = 0.05

    name: ClassVar[str] = "monotonic"
    about: ClassVar[str] = "each insert takes the highest value plus one; values and the database's time grow together"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The order of the values is the order of their times."""
        return monotonic_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make an empty table."""
        await fresh_tables(engine, Stamped)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a read or an insert."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        return Request("add", None, lambda unit: _add(unit, turn.client), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all rows, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            final: Json = {"reads": [{"kind": "read", "value": None, "result": await _read(session)}]}
            return State(final, await effects_by_unit(session))


async def _read(session: AsyncSession) -> Json:
    columns = select(Stamped.value, Stamped.stamp, Stamped.process)
    rows = await session.execute(columns.order_by(Stamped.stamp, Stamped.value))
    return [_row(*row) for row in rows.tuples()]


def _row(value: int, stamp: Decimal, process: int) -> Json:
    """Return a row in Jepsen's shape; its time is text, because it has more digits than a number of JSON."""
    return {"val": value, "sts": str(stamp), "proc": process}


def _add(unit: str, process: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add(Effect(unit))
        value = (await session.scalar(select(func.max(Stamped.value))) or 0) + 1
        row = insert(Stamped).values(id=uuid.uuid4(), value=value, stamp=database_time(), process=process)
        stamp = (await session.scalars(row.returning(Stamped.stamp))).one()
        return _row(value, stamp, process)

    return perform
