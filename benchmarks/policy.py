"""What the policy costs around a transaction, against the same transaction without it, interleaved."""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from statistics import median

import uvloop
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.drivers import Driver
from lab.db.engine import resilient_engine, session_factory
from lab.db.target import Address, Target
from lab.retry import Policy, RetryPolicy, Sessions
from lab.state import RunFolder

DRIVERS: tuple[Driver, ...] = ("asyncpg", "psycopg")
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


ROUNDS = 2_000
"""Transactions of each kind, for each engine."""


async def measure() -> None:
    """Print the figures for both drivers, on a server without proxies in between."""
    run = RunFolder.create("bench")
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    try:
        await server.create(60)
        await server.start(60)
        address = Address(server.host, server.port)
        target = Target("postgresql", (address,), server.user, server.password, server.database)
        print(f"{'engine':<22}{'bare us':>9}{'lean us':>9}{'policy us':>11}{'policy/bare':>13}{'policy/lean':>13}")
        for driver, ping in ((d, p) for d in DRIVERS for p in (True, False)):
            engine = resilient_engine(target, driver=driver, pool_pre_ping=ping)
            cost = await measure_overhead(session_factory(engine), ROUNDS)
            await engine.dispose()
            name = f"{driver}, {'pre-ping' if ping else 'no ping'}"
            print(f"{name:<22}{cost.bare:>9.0f}{cost.lean:>9.0f}{cost.policy:>11.0f}", end="")
            print(f"{cost.ratio:>12.2f}x{cost.ratio_to_lean:>12.2f}x")
    finally:
        await server.stop(10)
        run.remove(10)


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
