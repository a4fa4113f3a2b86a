"""A counter: the database adds, so nothing that a client has read can be lost."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import counter_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables

THE_ONE = 0
"""The key of the only row."""


class Counted(Base):
    """The counter."""

    __tablename__ = "counters"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class PlainCounter:
    """Adds of 1 to *most*, and reads, which are a share *reads* (0 to 1) of the operations."""

    most: int = 5
    reads: float = 0.3

    name: ClassVar[str] = "counter"
    about: ClassVar[str] = "the database adds to a counter that is read; no increment is lost or doubled"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every read lies between what was certainly added and what may have been."""
        return counter_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the counter anew, at 0."""
        await fresh_tables(engine, Counted)
        async with engine.begin() as connection:
            await connection.execute(insert(Counted), [{"id": THE_ONE, "value": 0}])

    def next(self, random: random_module.Random, turn: Turn) -> Request:  # noqa: ARG002 - nothing has to be unique
        """Draw a read, or an increment."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        amount = random.randint(1, self.most)
        return Request("add", amount, lambda unit: _add(unit, amount), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read the counter, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            final: Json = {"reads": [{"kind": "read", "value": None, "result": await _read(session)}]}
            return State(final, await effects_by_unit(session))


async def _read(session: AsyncSession) -> Json:
    return (await session.scalars(select(Counted.value).where(Counted.id == THE_ONE))).one()


def _add(unit: str, amount: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add(Effect(unit))
        await session.execute(update(Counted).where(Counted.id == THE_ONE).values(value=Counted.value + amount))
        return None

    return perform
