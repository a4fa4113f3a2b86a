"""What following the conversation costs: direct, plain proxy, proxy that follows, and with rules that never match.

The load is pgbench-like: prepared SELECT by key and UPDATE by key from asyncpg. The machine is busy with other things,
so the ways take turns after a few statements, and ratios are formed group by group of such turns: what slows one way
down slows the others of its group. Each proxy is a process of its own, as users have it; its CPU time counts as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import asyncpg
import psutil
import uvloop

from faults.client import ControlClient
from faults.pgwire.rules import Rule, Where
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.state import RunFolder

GROUPS = 20
TURNS = 25
"""Turns of each way in a group."""

PAIRS = 6
"""Pairs of one SELECT and one UPDATE in a turn, by one client."""

CLIENTS = 8
PAIRS_EACH = 2
"""Pairs by each of several clients at once, in a turn."""

KEYS = 1_000
ROWS = 200_000
"""Rows of the large result."""

BULK_ROUNDS = 5
P50, RATE, CPU = "p50, us", f"{CLIENTS} clients, statements/s", "proxy CPU, us/statement"
SELECT = "SELECT balance FROM bench WHERE id = $1"
UPDATE = "UPDATE bench SET balance = balance + $2 WHERE id = $1"
LARGE = f"SELECT g, md5(g::text), repeat('x', 40) FROM generate_series(1, {ROWS}) AS g"  # noqa: S608 - a constant

NEVER = (
    Where(application_name="somebody-else-*"),
    Where(application_name="somebody-else"),
    Where(statement="TRUNCATE"),
    Where(statement="LISTEN"),
    Where(sql=r"^\s*delete\s+from\s+accounts\b"),
    Where(sql=r"insert into (orders|lines)\b"),
    Where(proxy="another"),
    Where(statement="CONNECT", application_name="nobody"),
    Where(sql=r"\bfor update\b"),
    Where(sql=r"nothing at all"),
)
"""Where ten rules look and find nothing: by name, by command, by pattern."""


@dataclass
class Way:
    """A way to the server, with its proxy's process and its connections, and its figures of every group by name."""

    name: str
    port: int
    process: psutil.Process | None = None
    clients: list[Client] = field(default_factory=list)
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        """Keep the value of one group."""
        self.figures.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        """Return the median over the groups."""
        return statistics.median(self.figures[figure])


@dataclass(frozen=True)
class Client:
    """A connection with its two prepared statements."""

    connection: asyncpg.Connection
    select: Any
    update: Any


@contextlib.contextmanager
def proxy() -> Iterator[tuple[str, psutil.Process]]:
    """Run a proxy server; yield the URL of its control API, and its process."""
    command = [sys.executable, "-m", "faults", "--port", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split(": ", 1)[1].strip(), psutil.Process(process.pid)
        finally:
            process.terminate()


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[PostgresServer]:
    """Run a PostgreSQL."""
    run = RunFolder.create("bench")
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    try:
        await server.create(60)
        await server.start(60)
        yield server
    finally:
        await server.stop(10)
        run.remove(10)


async def connect(server: PostgresServer, way: Way) -> asyncpg.Connection:
    """Connect through a way."""
    return await asyncpg.connect(
        host=server.host,
        port=way.port,
        user=server.user,
        password=server.password,
        database=server.database,
        ssl=False,
        # What the server does is the same on all ways: the less of it, the more the way counts.
        server_settings={
            "application_name": "bench",
            "synchronous_commit": "off",
            "default_transaction_isolation": "read committed",
        },
    )


async def pairs(client: Client, count: int, random: Random) -> list[float]:
    """Run pairs of statements; return the seconds that each statement took."""
    times = []
    for _ in range(count):
        for statement, arguments in ((client.select, ()), (client.update, (1,))):
            started = time.perf_counter()
            await statement.fetch(random.randint(1, KEYS), *arguments)
            times.append(time.perf_counter() - started)
    return times


async def small(ways: list[Way], random: Random) -> None:
    """Note for each way what its turns in one group say of latency and throughput."""
    times: dict[str, list[float]] = {way.name: [] for way in ways}
    busy = dict.fromkeys(times, 0.0)
    for _ in range(TURNS):
        for way in random.sample(ways, len(ways)):
            times[way.name] += await pairs(way.clients[0], PAIRS, random)
            started = time.perf_counter()
            await asyncio.gather(*(pairs(client, PAIRS_EACH, random) for client in way.clients))
            busy[way.name] += time.perf_counter() - started
    together = CLIENTS * PAIRS_EACH * 2 * TURNS
    for way in ways:
        cuts = statistics.quantiles(times[way.name], n=100)
        way.note(P50, cuts[49] * 1e6)
        way.note("p99, us", cuts[98] * 1e6)
        way.note(RATE, together / busy[way.name])


def cpu_of(way: Way) -> float:
    """Return the seconds of CPU time that the proxy of a way has used, 0 without one."""
    return 0.0 if way.process is None else sum(way.process.cpu_times()[:2])


async def large(way: Way) -> None:
    """Note how fast a large result comes, and a COPY of the same."""
    connection = way.clients[0].connection
    started = time.perf_counter()
    rows = await connection.fetch(LARGE)
    way.note("large result, krows/s", len(rows) / (time.perf_counter() - started) / 1e3)
    started = time.perf_counter()
    await connection.copy_from_query(LARGE, output=_drop)
    way.note("COPY out, krows/s", ROWS / (time.perf_counter() - started) / 1e3)


async def _drop(_data: bytes) -> None:
    pass


async def ways_to(server: PostgresServer, proxies: list[tuple[ControlClient, psutil.Process]]) -> list[Way]:
    """Open all ways, each with its clients."""
    ways = [Way("direct", server.port)]
    names = (("plain proxy", "tcp"), ("follows", "postgresql"), (f"{len(NEVER)} rules armed", "postgresql"))
    for (name, protocol), (control, process) in zip(names, proxies, strict=True):
        made = await control.create("way", "127.0.0.1:0", f"{server.host}:{server.port}", protocol=protocol)
        ways.append(Way(name, int(made.listen.rsplit(":", 1)[1]), process))
    for number, where in enumerate(NEVER):
        await control.arm(Rule(f"never-{number}", "request", "reset", where, times=0))
    first = await connect(server, ways[0])
    await first.execute("CREATE TABLE bench (id int PRIMARY KEY, balance int NOT NULL)")
    await first.execute("INSERT INTO bench SELECT g, 0 FROM generate_series(1, $1::int) AS g", KEYS)
    for way in ways:
        for _ in range(CLIENTS):
            connection = await connect(server, way)
            select, update = await connection.prepare(SELECT), await connection.prepare(UPDATE)
            way.clients.append(Client(connection, select, update))
    return ways


async def measure(ways: list[Way]) -> None:
    """Measure all ways."""
    random = Random(1)
    gc.disable()
    await small(ways, random)
    for way in ways:
        way.figures.clear()  # that was to warm up
    before = [cpu_of(way) for way in ways]
    for _ in range(GROUPS):
        await small(ways, random)
        gc.collect()
    for way, cpu in zip(ways, before, strict=True):
        # The system counts in steps of 10 ms, so all groups together make one value.
        way.note(CPU, (cpu_of(way) - cpu) / (GROUPS * TURNS * 2 * (PAIRS + CLIENTS * PAIRS_EACH)) * 1e6)
    for _ in range(BULK_ROUNDS):
        for way in random.sample(ways, len(ways)):
            await large(way)


def quartiles(ratios: list[float]) -> str:
    """Return the median of ratios, and what half of them lie between."""
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{middle:.2f}x ({low:.2f}-{high:.2f})"


def against(way: Way, direct: Way, plain: Way) -> Iterator[str]:
    """Yield the lines that compare a way with the plain proxy, group by group."""
    yield f"{way.name} against the plain proxy: median of {GROUPS} groups, and what half of them lie between"
    groups = zip(way.figures[P50], direct.figures[P50], plain.figures[P50], strict=True)
    # Where a neighbour made the proxy faster than no proxy there is no ratio.
    added = [(mine - base) / (theirs - base) for mine, base, theirs in groups if theirs > base]
    yield f"  {'added p50':24} {quartiles(added)}"
    for name, values in way.figures.items():
        if name.endswith("/s"):
            yield f"  {name:24} {quartiles([a / b for a, b in zip(values, plain.figures[name], strict=True)])}"


def table(ways: list[Way]) -> Iterator[str]:
    """Yield the lines of the table, each figure with its ratio to direct, then the ratios to the plain proxy."""
    yield f"{'':26}" + "".join(f"{way.name:>20}" for way in ways)
    direct, plain, *others = ways
    for figure in direct.figures:
        base = direct.median(figure) or plain.median(figure)
        cells = (f"{way.median(figure):.1f} ({way.median(figure) / base:.2f}x)".rjust(20) for way in ways)
        yield f"{figure:26}" + "".join(cells)
    for way in others:
        yield from against(way, direct, plain)


async def run() -> None:
    """Print the table."""
    async with contextlib.AsyncExitStack() as stack:
        proxies = []
        for _ in range(3):
            url, process = stack.enter_context(proxy())
            proxies.append((await stack.enter_async_context(ControlClient(url)), process))
        ways = await ways_to(await stack.enter_async_context(server()), proxies)
        await measure(ways)
        print("\n".join(table(ways)))


def main() -> int:
    """Measure."""
    uvloop.run(run())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
