"""Registers with compare-and-set: single operations on keys that rotate; each key by itself is linearizable."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import register_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Refused, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables
from lab.workloads.transactions import draw_keys


class Register(Base):
    """A register of a small number."""

    __tablename__ = "registers"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


@dataclass(frozen=True, slots=True)
class Registers:
    """Reads, writes and compare-and-sets of *values* different values (so that some are met).

    There are *keys* registers at a time, others after *turns* turns of a client: an operation of unknown outcome makes
    the search for an order harder, and only that of its own key.
    """

    keys: int = 4
    turns: int = 40
    values: int = 4

    name: ClassVar[str] = "register"
    about: ClassVar[str] = "reads, writes and compare-and-sets of single registers; each is linearizable"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Each register is linearizable."""
        return register_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make empty tables: a register that is not there reads null."""
        await fresh_tables(engine, Register)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a read, a write or a compare-and-set, of one key."""
        (key,) = draw_keys(random, turn, active=self.keys, turns=self.turns, count=1)
        kind = random.choice(("read", "write", "cas"))
        old, new = random.randrange(self.values), random.randrange(self.values)
        match kind:
            case "write":
                return Request(kind, [key, new], lambda unit: _write(unit, key, new), writes=True)
            case "cas":
                return Request(kind, [key, [old, new]], lambda unit: _compare_and_set(unit, key, old, new), writes=True)
            case _:
                return Request(kind, [key, None], lambda _unit: _read(key), writes=False)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all registers, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            rows = await session.execute(select(Register.key, Register.value).order_by(Register.key))
            reads: list[Json] = [
                {"kind": "read", "value": [key, None], "result": [key, value]} for key, value in rows.tuples()
            ]
            return State({"reads": reads}, await effects_by_unit(session))


def _read(key: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        return [key, await _value(session, key)]

    return perform


def _write(unit: str, key: int, new: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add(Effect(unit))
        await _put(session, key, new)
        return None

    return perform


def _compare_and_set(unit: str, key: int, old: int, new: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        if await _value(session, key) != old:
            raise Refused
        session.add(Effect(unit))
        await _put(session, key, new)
        return None

    return perform


async def _value(session: AsyncSession, key: int) -> int | None:
    return (await session.scalars(select(Register.value).where(Register.key == key))).one_or_none()


async def _put(session: AsyncSession, key: int, value: int) -> None:
    write = insert(Register).values(key=key, value=value)
    await session.execute(
        write.on_conflict_do_update(index_elements=[Register.key], set_={"value": write.excluded.value})
    )
