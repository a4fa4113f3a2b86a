"""From nothing to the first query of the embedded cluster, against the bare server; then the whole suite."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable

import asyncpg
import uvloop

from lab.clusters.embedded import EmbeddedCluster
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.target import Target
from lab.state import RunFolder

ROUNDS = 5
WITHIN = 60.0


async def bare(run: RunFolder) -> Callable[[], Awaitable[None]]:
    """A server without anything around it: initdb, start, one query."""
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    await server.create(WITHIN)
    await server.start(WITHIN)
    await query(server.host, server.port, server.user, server.password, server.database)
    return lambda: server.stop(WITHIN)


async def embedded(run: RunFolder) -> Callable[[], Awaitable[None]]:
    """The whole cluster: server, proxy process, three gateways, one query through the first."""
    cluster = EmbeddedCluster(run)
    await cluster.start(WITHIN)
    target: Target = cluster.target
    first = target.addresses[0]
    await query(first.host, first.port, target.user, target.password, target.database)
    return lambda: cluster.stop(WITHIN)


async def query(host: str, port: int, user: str, password: str, database: str) -> None:
    """Ask one question."""
    session = await asyncpg.connect(host=host, port=port, user=user, password=password, database=database, ssl=False)
    assert await session.fetchval("SELECT 1") == 1
    await session.close()


async def timed(start: Callable[[RunFolder], Awaitable[Callable[[], Awaitable[None]]]]) -> float:
    """Return the seconds of one start, from no folder at all."""
    began = time.perf_counter()
    run = RunFolder.create("bench")
    try:
        stop = await start(run)
        seconds = time.perf_counter() - began
        await stop()
    finally:
        run.remove(WITHIN)
    return seconds


async def measure() -> None:
    """Print medians of interleaved rounds."""
    times: dict[str, list[float]] = {"bare server": [], "embedded cluster": []}
    for _ in range(ROUNDS):
        times["bare server"].append(await timed(bare))
        times["embedded cluster"].append(await timed(embedded))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print("nothing -> first query (median of", ROUNDS, "rounds)")
    for name, values in times.items():
        spread = f"{min(values):.2f} to {max(values):.2f}"
        print(f"  {name:<18}{medians[name]:>7.2f} s ({spread}){medians[name] / medians['bare server']:>7.2f}x")


def whole_suite() -> None:
    """Print how long ``lab run`` takes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "lab.cli", "run", "--seed", "7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    said = ended.stdout.strip().rpartition("\n")[2]
    print(f"lab run --seed 7: {time.perf_counter() - began:.1f} s, exit {ended.returncode}: {said}")


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    whole_suite()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
