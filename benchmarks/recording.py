"""What recording costs: operations per second of the bank with the journal and without any record, interleaved."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.clients import Clients
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.engine import resilient_engine
from lab.db.target import Address, Target
from lab.history import Outcome
from lab.journal import Completed, Invoked, JournalWriter, Record, Run
from lab.observer import Nobody
from lab.recorder import Recorder
from lab.retry import RetryPolicy
from lab.scenario import Scenario
from lab.state import RunFolder
from lab.workloads.bank import Bank

ROUNDS = 11
"""Rounds of each kind; the first one warms up, and is not counted."""

SECONDS = 1.0
"""How long a round lasts at least."""

RECORDS = 20_000
"""Operations whose records are written without a database, to time them alone."""

SCENARIO = Scenario("recording", "", Bank(accounts=64), RetryPolicy(attempts=40), (), clients=6, think=0.0)
RUN = Run("recording", "", 1, "", "", {"steps": []}, {})


class Forgetful(Recorder):
    """A recorder that records nothing."""

    def record(self, record: Record) -> None:
        """Forget it."""


async def rate(engine: AsyncEngine, recorder: Recorder, seed: int) -> float:
    """Return how many operations per second the clients do."""
    clients = Clients(SCENARIO, engine, recorder, seed, Nobody())
    started = time.perf_counter()
    clients.start()
    while time.perf_counter() - started < SECONDS:
        await clients.operations_done(clients.completed + 1)
    done, seconds = clients.completed, time.perf_counter() - started
    await clients.stop(10)
    return done / seconds


def record_cost(folder: Path) -> float:
    """Return the microseconds for the two records of one operation."""
    with JournalWriter(folder / "alone.jsonl") as writer:
        recorder = Recorder(writer)
        recorder.record(RUN)
        started = time.perf_counter()
        for index in range(RECORDS):
            order = {"from": 1, "to": 2, "amount": 3}
            recorder.record(Invoked(index, 1, "transfer", dict(order), recorder.now(), f"u{index}"))
            recorder.record(Completed(index, Outcome.OK, recorder.now(), "moved", 1))
        return (time.perf_counter() - started) / RECORDS * 1e6


async def measure() -> None:
    """Print the figures."""
    run = RunFolder.create("bench")
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    try:
        await server.create(60)
        await server.start(60)
        target = Target(
            "postgresql", (Address(server.host, server.port),), server.user, server.password, server.database
        )
        engine = resilient_engine(target, pool_size=SCENARIO.clients)
        await SCENARIO.workload.set_up(engine)
        with tempfile.TemporaryDirectory() as folder:
            await compare(engine, Path(folder))
            print(f"{'the two records of an operation alone':<38}{record_cost(Path(folder)):>9.1f} us")
        await engine.dispose()
    finally:
        await server.stop(10)
        run.remove(10)


async def compare(engine: AsyncEngine, folder: Path) -> None:
    """Let the two kinds take turns, the first of each round alternating, and print the medians and their ratio."""
    kinds: dict[str, Callable[[JournalWriter], Recorder]] = {"with the journal": Recorder, "without": Forgetful}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(ROUNDS):
        for name in list(kinds)[:: 1 if number % 2 else -1]:
            with JournalWriter(folder / "journal.jsonl") as writer:
                recorder = kinds[name](writer)
                recorder.record(RUN)
                rates[name].append(await rate(engine, recorder, number))
    recorded, forgotten = (rates[name][1:] for name in kinds)
    for name, found in (("with the journal", recorded), ("without any record", forgotten)):
        print(f"{name:<38}{median(found):>9,.0f} operations/s")
    ratio = median(one / other for one, other in zip(recorded, forgotten, strict=True))
    print(f"{'with over without, median of rounds':<38}{ratio:>9.3f}")


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
