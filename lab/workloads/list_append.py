"""List-append: transactions that read lists and append to them, from which dependencies can be inferred (Elle)."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass
from typing import ClassVar, Final

from sqlalchemy import Text, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import list_append_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Request, State, Turn
from lab.workloads.effects import effects_by_unit, fresh_tables
from lab.workloads.transactions import MicroOperation, draw_keys, draw_micro_operations, final_read, request

SEPARATOR: Final = ","


class AppendList(Base):
    """The list of a key, its elements as text: what an array is, on every database and with every driver."""

    __tablename__ = "append_lists"

    key: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    elements: Mapped[str] = mapped_column(Text)


@dataclass(frozen=True, slots=True)
class ListAppend:
    """Transactions of 1 to *most* micro-operations on *keys* lists, which change after *turns* turns of a client.

    A share *reads* (0 to 1) of the micro-operations are reads. With six clients a list gets about 30 elements.
    """

    keys: int = 16
    turns: int = 64
    most: int = 4
    reads: float = 0.5

    name: ClassVar[str] = "list-append"
    about: ClassVar[str] = "transactions read lists and append to them; an order of all explains every read"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Some serial order explains all that was read."""
        return list_append_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make empty tables: a list that is not there is empty."""
        await fresh_tables(engine, AppendList)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a transaction."""
        count = random.randint(1, self.most)
        keys = draw_keys(random, turn, active=self.keys, turns=self.turns, count=count)
        return request(draw_micro_operations(random, turn, keys, "append", self.reads), _step)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all lists, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            rows = await session.execute(select(AppendList.key, AppendList.elements).order_by(AppendList.key))
            lists = {key: _parse(elements) for key, elements in rows.tuples()}
            return State(final_read(lists), await effects_by_unit(session))


async def _step(session: AsyncSession, operation: MicroOperation) -> Json:
    kind, key, value = operation
    # Columns, not objects: the session would answer a second read of an object from its own memory.
    seen = await session.scalar(select(AppendList.elements).where(AppendList.key == key))
    if kind == "r":
        return None if seen is None else _parse(seen)
    # Reading first and writing what was read makes a lost update possible wherever isolation is too weak.
    longer = str(value) if seen is None else f"{seen}{SEPARATOR}{value}"
    write = insert(AppendList).values(key=key, elements=longer)
    await session.execute(
        write.on_conflict_do_update(index_elements=[AppendList.key], set_={"elements": write.excluded.elements})
    )
    return value


def _parse(elements: str) -> Json:
    return [int(element) for element in elements.split(SEPARATOR)]
