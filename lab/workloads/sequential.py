"""Sequential: a client writes the parts of a chain one after the other; who sees a part sees all before it."""

from __future__ import annotations

import random as random_module
import uuid
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import BigInteger, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import sequential_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import MOST_CLIENTS, Perform, Request, State, Turn
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables


class Part(Base):
    """A part of a chain. The pair is not unique on purpose: one that is written twice shows as two rows."""

    __tablename__ = "chain_parts"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    chain: Mapped[int] = mapped_column(BigInteger, index=True)
    part: Mapped[int]


@dataclass(frozen=True, slots=True)
class Sequential:
    """Every client writes chains of *parts* parts, a transaction each, and reads after each write a chain of anybody.

    A read is one transaction that looks for the last part first. With *clients* it is told whose chains there are.
    """

    parts: int = 5
    clients: int = 6

    name: ClassVar[str] = "sequential"
    about: ClassVar[str] = "a client writes the parts of a chain in order; who sees a part sees all before it"

    @property
    def checks(self) -> tuple[Check, ...]:
        """No chain is seen with a gap."""
        return sequential_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make an empty table."""
        await fresh_tables(engine, Part)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw the next part of the client's own chain, or on every other turn a read of a chain that may grow now."""
        written, reads = divmod(turn.number, 2)
        number, part = divmod(written, self.parts)
        if not reads:
            chain = number * MOST_CLIENTS + turn.client
            return Request("write", [chain, part], lambda unit: _write(unit, chain, part), writes=True)
        other = max(0, number - random.randrange(2)) * MOST_CLIENTS + random.randrange(self.clients)
        return Request("read", other, lambda _unit: self._read(other), writes=False)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all chains, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            chains = (await session.scalars(select(Part.chain).distinct().order_by(Part.chain))).all()
            reads: list[Json] = [
                {"kind": "read", "value": chain, "result": await self._read(chain)(session)} for chain in chains
            ]
            return State({"reads": reads}, await effects_by_unit(session))

    def _read(self, chain: int) -> Perform:
        async def perform(session: AsyncSession) -> Json:
            found: list[Json] = []
            for part in reversed(range(self.parts)):
                wanted = select(Part.part).where(Part.chain == chain, Part.part == part).limit(1)
                found.append(await session.scalar(wanted))
            return [chain, found]

        return perform


def _write(unit: str, chain: int, part: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        session.add_all([Effect(unit), Part(chain, part)])
        return None

    return perform
