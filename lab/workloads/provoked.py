"""A workload whose transactions ask the database itself for a serialization failure, the first times that they run."""

from __future__ import annotations

import random as random_module
from dataclasses import dataclass, replace

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn, Workload


@dataclass(frozen=True, slots=True)
class Provoked:
    """*inner*, of whose writes a *share* (0 to 1) runs *statement* first in each of its first *times* attempts."""

    inner: Workload
    statement: str
    share: float = 0.3
    times: int = 2

    @property
    def name(self) -> str:
        """Its name in reports."""
        return f"{self.inner.name}, provoked"

    @property
    def about(self) -> str:
        """What the inner workload does."""
        return self.inner.about

    @property
    def checks(self) -> tuple[Check, ...]:
        """What must hold for the inner workload."""
        return self.inner.checks

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the tables of the inner workload."""
        await self.inner.set_up(engine)

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw an operation, and whether it provokes a failure."""
        request, provokes = self.inner.next(random, turn), random.random() < self.share
        if not (provokes and request.writes):
            return request
        return replace(request, perform=lambda unit: self._provoking(request.perform(unit)))

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read what the inner workload left."""
        return await self.inner.read_back(sessions)

    def _provoking(self, perform: Perform) -> Perform:
        attempts = 0

        async def provoke_first(session: AsyncSession) -> Json:
            nonlocal attempts
            attempts += 1
            if attempts <= self.times:
                await session.execute(text(self.statement))
            return await perform(session)

        return provoke_first
