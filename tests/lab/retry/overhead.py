"""What the policy costs around a transaction, against the same transaction without it, interleaved."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from statistics import median

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lab.retry import Policy, RetryPolicy, Sessions

SELECT_1 = text("SELECT 1")


@dataclass(frozen=True, slots=True)
class Overhead:
    """Medians of one SELECT 1 transaction in microseconds: *bare* as people write it, *lean* with no shielded close.

    *bare* is `async with sessions() as s, s.begin()`, whose exits each cost a task; *lean* is begin, work, commit,
    close and nothing else: the fairest and hardest comparison.
    """

    bare: float
    lean: float
    policy: float

    @property
    def ratio(self) -> float:
        """Policy over bare."""
        return self.policy / self.bare

    @property
    def ratio_to_lean(self) -> float:
        """Policy over lean."""
        return self.policy / self.lean


async def measure_overhead(sessions: Sessions, rounds: int = 5000, policy: Policy | None = None) -> Overhead:
    """Time *rounds* transactions of each kind, in random order within each round, so that drift hits all alike."""
    run = policy or RetryPolicy()
    kinds: dict[str, Callable[[], Awaitable[object]]] = {
        "bare": lambda: bare(sessions),
        "lean": lambda: lean(sessions),
        "policy": lambda: run(sessions, select_1),
    }
    times: dict[str, list[float]] = {name: [] for name in kinds}
    order, random = list(kinds), Random(1)
    gc.collect()
    for number in range(rounds + rounds // 10):
        random.shuffle(order)
        for name in order:
            started = time.perf_counter()
            await kinds[name]()
            if number >= rounds // 10:
                times[name].append(time.perf_counter() - started)
    return Overhead(**{name: median(values) * 1e6 for name, values in times.items()})


async def select_1(session: AsyncSession) -> None:
    """The unit of work: one round trip."""
    await session.execute(SELECT_1)


async def bare(sessions: Sessions) -> None:
    """A transaction as the documentation writes it."""
    async with sessions() as session, session.begin():
        await select_1(session)


async def lean(sessions: Sessions) -> None:
    """A transaction with nothing around it, not even clean-up after an error."""
    session = sessions()
    await select_1(session)
    await session.commit()
    await session.close()
