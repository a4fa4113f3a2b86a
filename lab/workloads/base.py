"""What a workload is: tables, a generator of operations, and final reads. It knows nothing of faults or policies."""

from __future__ import annotations

import random as random_module
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.history import Json

Perform: TypeAlias = Callable[[AsyncSession], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to do, in one transaction: *perform* runs its statements and may be called again for a retry.

    *writes* tells whether it has an effect that must happen exactly once; *perform* of a write is made for its unit.
    """

    kind: str
    value: Json
    perform: Callable[[str], Perform]
    writes: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the database holds in the end: the workload's own state, and effects by unit (how many times each)."""

    state: Json
    effects: dict[str, int]


class Workload(Protocol):
    """A generator of operations with an invariant."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make fresh tables with their initial rows, whatever was there before."""

    def next(self, random: random_module.Random) -> Request:
        """Draw the next operation."""

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read the final state in one transaction."""
