"""A set: elements are added, all are read; nothing is lost, and nothing comes back (Jepsen's set)."""

from __future__ import annotations

import random as random_module
import uuid
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import set_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables


class Element(Base):
    """An element. *element* is not unique on purpose: one that is added twice shows as two rows."""

    __tablename__ = "set_elements"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    element: Mapped[int] = mapped_column(BigInteger)


@dataclass(frozen=True, slots=True)
class Elements:
    """Every element is added once; a share *reads* (0 to 1) of the operations reads all."""

    reads: float = 0.05

    name: ClassVar[str] = "set"
    about: ClassVar[str] = "elements are added and all are read; none is lost, doubled or made up"

    @property
    def checks(self) -> tuple[Check, ...]:
        """What was added is there."""
        return set_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make an empty set."""
        await fresh_tables(engine, Element)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a read, or an element that nobody else adds."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        element = turn.value()
        return Request("add", element, lambda unit: _add(unit, element), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read the set, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            final: Json = {"reads": [{"kind": "read", "value": None, "result": await _read(session)}]}
            return State(final, await effects_by_unit(session))


async def _read(session: AsyncSession) -> Json:
    return list((await session.scalars(select(Element.element).order_by(Element.element))).all())


def _add(unit: str, element: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add_all([Effect(unit), Element(element)])
        return None

    return perform
