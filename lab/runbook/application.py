"""The application of a rehearsal: a bank whose writes can be queued, whose pool recycled, and which misbehaves."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Final, TypeVar

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from lab.clusters.base import Capability
from lab.retry import AlreadyApplied, Backoff, RetryPolicy
from lab.retry.shape import Sessions, Work
from lab.scenario import EngineSettings, Scenario
from lab.scenarios.rehearsals import BANK, rehearsed
from lab.verdict import Check
from lab.workloads.bank import Bank
from lab.workloads.base import Request, State, Turn

T = TypeVar("T")

HOT_SHARE: Final = 0.9
"""Share of the operations that want the hot rows while there are some."""

CLIENTS: Final = 6


class Door:
    """Lets in as many as *limit* says (None: all); the others wait in the order of their coming."""

    def __init__(self) -> None:
        self._limit: int | None = None
        self._inside = 0
        self._changed = asyncio.Condition()

    async def set(self, limit: int | None) -> None:
        """Let in so many from now on."""
        async with self._changed:
            self._limit = limit
            self._changed.notify_all()

    @asynccontextmanager
    async def passed(self) -> AsyncIterator[None]:
        """Wait for a place, and keep it for the block."""
        async with self._changed:
            await self._changed.wait_for(lambda: self._limit is None or self._inside < self._limit)
            self._inside += 1
        try:
            yield
        finally:
            self._inside -= 1
            await asyncio.shield(self._left())

    async def _left(self) -> None:
        async with self._changed:
            self._changed.notify_all()


@dataclass(frozen=True)
class QueuedPolicy(RetryPolicy):
    """The right policy behind a *door*."""

    door: Door = field(default_factory=Door, compare=False, repr=False)

    async def __call__(self, sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
        """Wait for a place, then apply the work."""
        async with self.door.passed():
            return await super().__call__(sessions, work, key=key)


class Campaign:
    """A bank, of which *hot* rows (None: no campaign) can be wanted by nearly everybody."""

    name: Final = "bank"

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self.hot: int | None = None
        self.wanted = 0

    @property
    def about(self) -> str:
        """What it does and what must hold."""
        return self._bank.about

    @property
    def checks(self) -> tuple[Check, ...]:
        """What must hold of the bank."""
        return self._bank.checks

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the bank's tables anew."""
        await self._bank.set_up(engine)

    def next(self, random: Random, turn: Turn) -> Request:
        """Draw an operation, most of them on the hot rows while there are some."""
        if self.hot is not None and random.random() < HOT_SHARE:
            self.wanted += 1
            return replace(self._bank, accounts=self.hot, reads=0.0).next(random, turn)
        return self._bank.next(random, turn)

    async def read_back(self, sessions: async_sessionmaker[Any]) -> State:
        """Read the bank's final state."""
        return await self._bank.read_back(sessions)


class Recycling:
    """Has an engine replace the connections that it has, each when it is next asked for."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._older_than = 0.0
        event.listen(engine.sync_engine, "connect", self._born)
        event.listen(engine.sync_engine, "checkout", self._refuse_old)

    def recycle(self) -> None:
        """Take no connection that is older than this moment."""
        self._older_than = time.monotonic()

    def _born(self, _connection: Any, record: Any) -> None:
        record.info["born"] = time.monotonic()

    def _refuse_old(self, _connection: Any, record: Any, _proxy: Any) -> None:
        # Connections of before the listener came have no time of birth: they are the oldest.
        if record.info.get("born", 0.0) < self._older_than:
            raise DisconnectionError("recycled by the operator")


def rehearsal(
    name: str,
    door: Door,
    campaign: Campaign,
    *,
    patience: float,
    needs: frozenset[Capability],
    also: tuple[Check, ...] = (),
) -> Scenario:
    """Return the scenario of a rehearsal of *name*, which is given up after *patience* seconds.

    *needs* is what its incident needs: before nodes are hurt, the data has to be on all of them. *also* is what it is
    judged by besides.
    """
    policy = QueuedPolicy(
        attempts=40, deadline=2.5, backoff=Backoff(0.01, 0.3), later=Backoff(0.05, 0.5), judgements=3, door=door
    )
    judged = rehearsed(name)
    return replace(
        judged,
        workload=campaign,
        policy=policy,
        expect=(*judged.expect, *also),
        engine=EngineSettings(pool_timeout=1.0, connect_timeout=1.0, command_timeout=1.0, statement_timeout=2.0),
        clients=CLIENTS,
        think=0.01,
        seconds=0.0,
        settle=10.0,
        patience=patience,
        read_deadline=2.5,
        also_needs=needs,
    )


def bank() -> Campaign:
    """Return the workload of a rehearsal."""
    return Campaign(BANK)
