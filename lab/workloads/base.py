"""What a workload is: tables, a generator of operations, and final reads. It knows nothing of faults or policies."""

from __future__ import annotations

import random as random_module
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.history import Json
from lab.verdict import Check

Perform: TypeAlias = Callable[[AsyncSession], Awaitable[Json]]

MOST_CLIENTS = 1_000
MOST_PLACES = 10


class Refused(Exception):
    """The database answered, and the operation's own condition does not hold: certainly not done, and no fault."""


@dataclass(frozen=True, slots=True)
class Turn:
    """The *number*-th operation (from 0) of a *client* (from 0): what makes values unique without any shared state."""

    client: int = 0
    number: int = 0

    def value(self, place: int = 0) -> int:
        """Return a number that no other turn has; *place* tells up to ten within one operation apart."""
        return (self.number * MOST_CLIENTS + self.client) * MOST_PLACES + place


@dataclass(frozen=True, slots=True)
class Request:
    """One thing to do, in one transaction: *perform* runs its statements and may be called again for a retry.

    *perform* may raise `Refused`. *writes* tells whether it has an effect that must happen exactly once; *perform* of
    a write is made for its unit.
    """

    kind: str
    value: Json
    perform: Callable[[str], Perform]
    writes: bool


@dataclass(frozen=True, slots=True)
class State:
    """What the database holds in the end: the workload's own state, and effects by unit (how many times each).

    A list "reads" in the state has final reads in the shape of operations; see `lab.checks.resolution`.
    """

    state: Json
    effects: dict[str, int]


class Workload(Protocol):
    """A generator of operations with an invariant."""

    @property
    def name(self) -> str:
        """Its name in reports."""

    @property
    def about(self) -> str:
        """What it does and what must hold, in one line."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """What must hold whatever strikes, beside that every effect is there exactly once."""

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make fresh tables with their initial rows, whatever was there before."""

    def next(self, random: random_module.Random, turn: Turn) -> Request:
        """Draw the operation of a turn; nothing but *random* and *turn* decides what it asks for."""

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read the final state in one transaction."""
