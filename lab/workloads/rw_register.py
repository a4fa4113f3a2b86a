"""Read-write registers: transactions that read registers and overwrite them with values that are all different."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import rw_register_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Request, State, Turn
from lab.workloads.effects import effects_by_unit, fresh_tables
from lab.workloads.transactions import MicroOperation, draw_keys, draw_micro_operations, final_read, request


class RwRegister(Base):
    """A register that transactions read and overwrite."""

    __tablename__ = "rw_registers"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class RwRegisters:
    """Transactions of 1 to *most* micro-operations on *keys* registers, which change after *turns* turns of a client.

    A share *reads* (0 to 1) of the micro-operations are reads.
    """

    keys: int = 16
    turns: int = 64
    most: int = 4
    reads: float = 0.5

    name: ClassVar[str] = "rw-register"
    about: ClassVar[str] = "transactions read registers and overwrite them; an order of all explains every read"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Some serial order explains all that was read."""
        return rw_register_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make empty tables: a register that is not there reads null."""
        await fresh_tables(engine, RwRegister)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a transaction."""
        count = random.randint(1, self.most)
        keys = draw_keys(random, turn, active=self.keys, turns=self.turns, count=count)
        return request(draw_micro_operations(random, turn, keys, "w", self.reads), _step)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all registers, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            rows = await session.execute(select(RwRegister.key, RwRegister.value).order_by(RwRegister.key))
            values: dict[int, Json] = dict(rows.tuples().all())
            return State(final_read(values), await effects_by_unit(session))


async def _step(session: AsyncSession, operation: MicroOperation) -> Json:
    kind, key, value = operation
    if kind == "r":
        return (await session.scalars(select(RwRegister.value).where(RwRegister.key == key))).one_or_none()
    write = insert(RwRegister).values(key=key, value=value)
    await session.execute(
        write.on_conflict_do_update(index_elements=[RwRegister.key], set_={"value": write.excluded.value})
    )
    return value
