"""Write skew: doctors go off call when enough others are on; two who look at the same time must not both go."""

from __future__ import annotations

import random as random_module
from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import Update, insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import write_skew_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables


class Doctor(Base):
    """A doctor of a shift, on call or not."""

    __tablename__ = "doctors"

    shift: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    on_call: Mapped[bool]


@dataclass(frozen=True, slots=True)
class WriteSkew:
    """*shifts* shifts of *doctors* doctors each, all of them on call at first.

    A doctor goes off call if the transaction sees another one on call, and comes back. A share *reads* (0 to 1) of the
    operations are snapshot reads.
    """

    shifts: int = 3
    doctors: int = 3
    reads: float = 0.2

    name: ClassVar[str] = "write-skew"
    about: ClassVar[str] = "doctors go off call if another one is on; every shift has somebody on call, always"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Somebody is on call in every snapshot."""
        return write_skew_checks(shifts=self.shifts)

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the tables anew, with everybody on call."""
        await fresh_tables(engine, Doctor)
        rows = [
            {"shift": shift, "number": number, "on_call": True}
            for shift in range(self.shifts)
            for number in range(self.doctors)
        ]
        async with engine.begin() as connection:
            await connection.execute(insert(Doctor), rows)

    def next(self, random: random_module.Random, turn: Turn) -> Request:  # noqa: ARG002 - nothing has to be unique
        """Draw a read, or a doctor who wants to go or to come."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        shift, number = random.randrange(self.shifts), random.randrange(self.doctors)
        if random.random() < 0.6:
            return Request("leave", [shift, number], lambda unit: _leave(unit, shift, number), writes=True)
        return Request("come", [shift, number], lambda unit: _come(unit, shift, number), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read who is on call, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            final: Json = {"reads": [{"kind": "read", "value": None, "result": await _read(session)}]}
            return State(final, await effects_by_unit(session))


async def _read(session: AsyncSession) -> Json:
    rows = await session.execute(
        select(Doctor.shift, Doctor.number, Doctor.on_call).order_by(Doctor.shift, Doctor.number)
    )
    on_call: defaultdict[str, list[Json]] = defaultdict(list)
    for shift, number, is_on_call in rows.tuples():
        on_call[str(shift)] += [number] if is_on_call else []
    return dict(on_call)


def _leave(unit: str, shift: int, number: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add(Effect(unit))
        others = select(Doctor.number).where(Doctor.shift == shift, Doctor.number != number, Doctor.on_call)
        if not (await session.scalars(others)).all():
            return "stays"
        await session.execute(_set(shift, number).values(on_call=False))
        return "leaves"

    return perform


def _come(unit: str, shift: int, number: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add(Effect(unit))
        await session.execute(_set(shift, number).values(on_call=True))
        return "comes"

    return perform


def _set(shift: int, number: int) -> Update:
    return update(Doctor).where(Doctor.shift == shift, Doctor.number == number)
