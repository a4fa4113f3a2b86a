"""From nothing to the first query: a bare server, and each cluster that this machine can run; then the whole suite.

Every round begins without a run folder. What a cluster is made of stands beside its figure, because a stand-in is no
CockroachDB.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TypeAlias

import asyncpg
import uvloop

from lab import _containers
from lab.clusters import make_cluster
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem
from lab.state import RunFolder

ROUNDS = 5
SLOW_ROUNDS = 3
"""Of the clusters of several nodes, which need their time."""

WITHIN = 60.0
"""Seconds for the bare server to start, and for anything to stop."""

SUITE_WITHIN = 600.0
"""Seconds for all scenarios."""

COMPOSE_FILE = Path(__file__).parents[1] / "docker-compose.yml"

Start: TypeAlias = Callable[[RunFolder], AbstractAsyncContextManager[tuple[Target, str]]]
"""Enter: up and ready for queries, with the database and what it is made of. Leave: stopped."""


@contextlib.asynccontextmanager
async def bare(run: RunFolder) -> AsyncIterator[tuple[Target, str]]:
    """A server without anything around it: initdb and start."""
    binaries = find_binaries()
    server = PostgresServer(run.path / "server", binaries, run.environment())
    await server.create(WITHIN)
    await server.start(WITHIN)
    try:
        address = Address(server.host, server.port)
        version = ".".join(map(str, binaries.version))
        yield (
            Target("postgresql", (address,), server.user, server.password, server.database),
            f"PostgreSQL {version} ({binaries.origin}), nothing around it",
        )
    finally:
        await server.stop(WITHIN)


def cluster(name: str) -> Start:
    """Return how a cluster starts, all of it: nodes, proxies, gateways."""

    @contextlib.asynccontextmanager
    async def start(run: RunFolder) -> AsyncIterator[tuple[Target, str]]:
        made = make_cluster(name, run, seed=7)
        try:
            await made.start(made.starts_within)
            yield made.target, made.about
        finally:
            await made.stop(WITHIN)

    return start


async def timed(start: Start) -> tuple[float, str]:
    """Return the seconds from no folder at all to the first answer, and what gave it."""
    began = time.perf_counter()
    run = RunFolder.create("bench")
    try:
        async with start(run) as (target, about):
            await _query(target)
            return time.perf_counter() - began, about
    finally:
        await asyncio.to_thread(run.remove, WITHIN)


async def _query(target: Target) -> None:
    first = target.addresses[0]
    session = await asyncpg.connect(
        host=first.host,
        port=first.port,
        user=target.user,
        password=target.password,
        database=target.database,
        ssl=False,
        timeout=WITHIN,
        command_timeout=WITHIN,
    )
    assert await session.fetchval("SELECT 1") == 1
    await session.close()


def check_images() -> None:
    """Raise EnvironmentProblem unless Docker has every image of docker-compose.yml: a download would be measured."""
    engine = _containers.connect()
    with contextlib.closing(engine):
        held = {tag for image in engine.images.list() for tag in image.tags}
    named = re.findall(r"image: \$\{(\w+):-(\S+)\}", COMPOSE_FILE.read_text(encoding="utf-8"))
    for image in sorted({os.environ.get(variable) or default for variable, default in named}):
        if image not in held:
            raise EnvironmentProblem(f"Docker has no image {image}", "pull it first")


async def measure() -> None:
    """Print a line for each: the bare server and the embedded cluster in interleaved rounds, then the others."""
    times: dict[str, list[float]] = {}
    made_of: dict[str, str] = {}

    async def one_round(name: str, start: Start) -> None:
        seconds, made_of[name] = await timed(start)
        times.setdefault(name, []).append(seconds)

    for _ in range(ROUNDS):
        await one_round("bare server", bare)
        await one_round("embedded", cluster("embedded"))
    for name, check in (("local", None), ("compose", check_images)):
        try:
            if check is not None:
                check()
            for _ in range(SLOW_ROUNDS):
                await one_round(name, cluster(name))
        except EnvironmentProblem as problem:
            made_of[name] = f"not measured: {problem}"
    print("from nothing to the first query (median, least and most of the rounds; multiple of the bare server)")
    for name, what in made_of.items():
        print(f"  {name:<12}{_figures(times.get(name), times['bare server'])}  {what}")


def _figures(values: list[float] | None, base: list[float]) -> str:
    if values is None:
        return f"{'-':>8}"
    spread = f"({min(values):.2f} to {max(values):.2f}, {len(values)} rounds)"
    median = statistics.median(values)
    return f"{median:>6.2f} s {spread:<26}{median / statistics.median(base):>7.2f}x"


def whole_suite() -> None:
    """Print how long ``lab run`` takes."""
    began = time.perf_counter()
    command = [sys.executable, "-m", "lab.cli", "run", "--seed", "7"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SUITE_WITHIN)
    said = ended.stdout.strip().rpartition("\n")[2]
    print(f"lab run --seed 7: {time.perf_counter() - began:.1f} s, exit {ended.returncode}: {said}")


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    whole_suite()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
