"""What following the conversation costs: direct, plain proxy, proxy that follows, and with rules that never match.

The load is pgbench-like: prepared SELECT by key and UPDATE by key from asyncpg. Rounds are interleaved and medians
taken, because the machine is busy with other things too. The proxy runs in a process of its own, as users have it.
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

import asyncpg
import uvloop

from faults.client import ControlClient
from faults.pgwire.rules import Rule, Where
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.state import RunFolder

ROUNDS = 12
PAIRS = 400
"""Pairs of one SELECT and one UPDATE, per round, by one client."""

CLIENTS = 8
PAIRS_EACH = 100
"""Pairs by each of several clients at once, per round."""

KEYS = 1_000
ROWS = 200_000
"""Rows of the large result."""

BULK_ROUNDS = 4
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
    """A way to the server, with its figures by name."""

    name: str
    host: str
    port: int
    armed: bool = False
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        """Keep the value of one round."""
        self.figures.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float:
        """Return the median over the rounds."""
        return statistics.median(self.figures[figure])


@contextlib.contextmanager
def proxy() -> Iterator[str]:
    """Run a proxy server; yield the URL of its control API."""
    command = [sys.executable, "-m", "faults", "--port", "0", "--until-stdin-closes"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split(": ", 1)[1].strip()
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
        host=way.host,
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


async def pairs(connection: asyncpg.Connection, count: int, random: Random) -> list[float]:
    """Run pairs of statements; return the seconds that each statement took."""
    select, update = await connection.prepare(SELECT), await connection.prepare(UPDATE)
    times = []
    for _ in range(count):
        for statement, arguments in ((select, ()), (update, (1,))):
            started = time.perf_counter()
            await statement.fetch(random.randint(1, KEYS), *arguments)
            times.append(time.perf_counter() - started)
    return times


async def small(server: PostgresServer, way: Way, random: Random) -> None:
    """Note the latency of one client and the throughput of several."""
    connection = await connect(server, way)
    times = await pairs(connection, PAIRS, random)
    await connection.close()
    cuts = statistics.quantiles(times, n=100)
    way.note("p50, us", cuts[49] * 1e6)
    way.note("p99, us", cuts[98] * 1e6)
    way.note("one client, statements/s", len(times) / sum(times))
    connections = [await connect(server, way) for _ in range(CLIENTS)]
    started = time.perf_counter()
    await asyncio.gather(*(pairs(connection, PAIRS_EACH, random) for connection in connections))
    way.note(f"{CLIENTS} clients, statements/s", CLIENTS * PAIRS_EACH * 2 / (time.perf_counter() - started))
    for connection in connections:
        await connection.close()


async def large(server: PostgresServer, way: Way) -> None:
    """Note how fast a large result comes, and a COPY of the same."""
    connection = await connect(server, way)
    started = time.perf_counter()
    rows = await connection.fetch(LARGE)
    way.note("large result, krows/s", len(rows) / (time.perf_counter() - started) / 1e3)
    started = time.perf_counter()
    await connection.copy_from_query(LARGE, output=_drop)
    way.note("COPY out, krows/s", ROWS / (time.perf_counter() - started) / 1e3)
    await connection.close()


async def _drop(_data: bytes) -> None:
    pass


async def rules(control: ControlClient, way: Way) -> None:
    """Arm the rules for a way that wants them, and none for others."""
    for rule in await control.rules():
        await control.disarm(rule.name)
    if way.armed:
        for number, where in enumerate(NEVER):
            await control.arm(Rule(f"never-{number}", "request", "reset", where, times=0))


async def measure(server: PostgresServer, control: ControlClient) -> list[Way]:
    """Measure all ways, interleaved in random order."""
    upstream = f"{server.host}:{server.port}"
    plain = (await control.create("plain", "127.0.0.1:0", upstream)).listen
    follows = (await control.create("follows", "127.0.0.1:0", upstream, protocol="postgresql")).listen
    ways = [
        Way("direct", server.host, server.port),
        Way("plain proxy", "127.0.0.1", int(plain.rsplit(":", 1)[1])),
        Way("follows", "127.0.0.1", int(follows.rsplit(":", 1)[1])),
        Way("10 rules armed", "127.0.0.1", int(follows.rsplit(":", 1)[1]), armed=True),
    ]
    connection = await connect(server, ways[0])
    await connection.execute("CREATE TABLE bench (id int PRIMARY KEY, balance int NOT NULL)")
    await connection.execute("INSERT INTO bench SELECT g, 0 FROM generate_series(1, $1::int) AS g", KEYS)
    await connection.close()
    random = Random(1)
    gc.disable()
    for number in range(ROUNDS + 1):
        for way in random.sample(ways, len(ways)):
            await rules(control, way)
            await small(server, way, random)
            if number <= BULK_ROUNDS:
                await large(server, way)
            if number == 0:
                way.figures.clear()  # to warm up
        gc.collect()
    return ways


def table(ways: list[Way]) -> list[str]:
    """Return the lines of the table, each figure with its ratio to direct, then the ratios to the plain proxy."""
    lines = [f"{'':26}" + "".join(f"{way.name:>20}" for way in ways)]
    for figure in ways[0].figures:
        base = ways[0].median(figure)
        cells = (f"{way.median(figure):.1f} ({way.median(figure) / base:.2f}x)".rjust(20) for way in ways)
        lines.append(f"{figure:26}" + "".join(cells))
    direct, plain, *others = ways
    for way in others:
        added = (way.median("p50, us") - direct.median("p50, us")) / (
            plain.median("p50, us") - direct.median("p50, us")
        )
        rates = (f"{name} {way.median(name) / plain.median(name):.2f}x" for name in direct.figures if name[-2:] == "/s")
        lines.append(f"{way.name} against the plain proxy: added p50 {added:.2f}x; {'; '.join(rates)}")
    # Neighbours on the machine can only add to a time, so the best of the rounds says what the way itself costs.
    p50 = {way.name: min(way.figures["p50, us"]) for way in ways}
    rate = {way.name: max(way.figures[f"{CLIENTS} clients, statements/s"]) for way in ways}
    for way in others:
        added = (p50[way.name] - p50[direct.name]) / (p50[plain.name] - p50[direct.name])
        share = rate[way.name] / rate[plain.name]
        lines.append(f"{way.name}, best rounds: added p50 {added:.2f}x; {CLIENTS} clients, statements/s {share:.2f}x")
    return lines


async def run() -> None:
    """Print the table."""
    with proxy() as url:
        async with ControlClient(url) as control, server() as database:
            print("\n".join(table(await measure(database, control))))


def main() -> int:
    """Measure."""
    uvloop.run(run())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
