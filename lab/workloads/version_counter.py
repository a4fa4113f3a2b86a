"""A counter behind `version_id_col`: clients add to what they remember of it, and stale memories must be refused."""

from __future__ import annotations

import random as random_module
import uuid
from dataclasses import dataclass, field
from typing import ClassVar

from sqlalchemy import BigInteger, Text, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, make_transient_to_detached, mapped_column

from lab.checks.workloads import counter_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.counter import THE_ONE
from lab.workloads.effects import Effect, effects_by_unit, fresh_tables


def _new_version(_last: str | None) -> str:
    # A number would come back: one that was never committed may be another transaction's by the time it is compared.
    return uuid.uuid4().hex


class Versioned(Base):
    """The counter, and the version that an UPDATE has to find unchanged."""

    __tablename__ = "versioned_counters"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger)
    version: Mapped[str] = mapped_column(Text, default=None)

    __mapper_args__ = {"version_id_col": version, "version_id_generator": _new_version}  # noqa: RUF012 - as it is declared above us


@dataclass(frozen=True, slots=True)
class VersionCounter:
    """Adds of 1 to *most*, and reads, which are a share *reads* (0 to 1) of the operations.

    A client adds to the state that it saw last, as an application does with an object of an earlier request. Where
    another one was faster there is StaleDataError, and the client reads anew.
    """

    most: int = 5
    reads: float = 0.3
    remembered: dict[int, tuple[int, str]] = field(default_factory=dict, compare=False, repr=False)

    name: ClassVar[str] = "version-counter"
    about: ClassVar[str] = "clients add to a remembered state behind version_id_col; no increment is lost or doubled"

    @property
    def checks(self) -> tuple[Check, ...]:
        """The final value is the sum of the increments."""
        return counter_checks()

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the counter anew, at 0; nobody remembers anything of it."""
        self.remembered.clear()
        await fresh_tables(engine, Versioned)
        async with engine.begin() as connection:
            await connection.execute(insert(Versioned), [{"id": THE_ONE, "value": 0, "version": _new_version(None)}])

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw a read, or an increment."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        amount = random.randint(1, self.most)
        return Request("add", amount, lambda unit: self._add(unit, turn.client, amount), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read the counter, and how many times each unit was applied."""
        async with sessions() as session, session.begin():
            final: Json = {"reads": [{"kind": "read", "value": None, "result": await _read(session)}]}
            return State(final, await effects_by_unit(session))

    def _add(self, unit: str, client: int, amount: int) -> Perform:
        async def perform(session: AsyncSession) -> Json:
            session.add(Effect(unit))
            # Taken out: if this attempt fails, for whatever reason, the next one reads.
            memory = self.remembered.pop(client, None)
            counter = await session.get_one(Versioned, THE_ONE) if memory is None else _detached(*memory)
            session.add(counter)
            counter.value += amount
            await session.flush()
            self.remembered[client] = counter.value, counter.version
            return None

        return perform


def _detached(value: int, version: str) -> Versioned:
    """Return the object that an earlier transaction has left."""
    counter = Versioned(THE_ONE, value, version)
    make_transient_to_detached(counter)
    return counter


async def _read(session: AsyncSession) -> Json:
    return (await session.scalars(select(Versioned.value).where(Versioned.id == THE_ONE))).one()
