"""What a report costs: the page of a million operations, and what the live view takes from a run that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import random
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from statistics import median

import aiohttp
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks.recording import RUN, SCENARIO
from lab.clients import Clients
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.engine import resilient_engine
from lab.db.target import Address, Target
from lab.history import FaultSpan, History, Operation, Outcome
from lab.journal import Gauge, Journal, JournalWriter
from lab.observer import Nobody
from lab.recorder import Recorder
from lab.report.live import LiveRun
from lab.report.live_server import live_view
from lab.report.page.content import Report, part_of
from lab.report.page.html import page_html
from lab.state import RunFolder
from lab.suite import NobodyAtAll
from lab.verdict import Finding, Verdict
from tests.lab.report.browser import opened_browser

OPERATIONS = 1_000_000
ROUNDS = 13
"""Rounds of each kind; the first one warms up, and is not counted."""

SECONDS = 3.0
"""How long a round lasts at least: some looks of the live view are in it."""


def big(operations: int = OPERATIONS) -> Journal:
    """Return a run of so many operations, a thousand a second, with a fault each minute."""
    draw = random.Random(1)
    outcomes = [*[Outcome.OK] * 997, Outcome.FAIL, Outcome.FAIL, Outcome.INFO]
    made = tuple(
        Operation(
            n, n % 64, "read", None, draw.choice(outcomes), n / 1000, n / 1000 + draw.expovariate(100), None, None, 1
        )
        for n in range(operations)
    )
    faults = tuple(
        FaultSpan(n + 1, "gateway of n1 down", at, at + 9.0, 3, 3)
        for n, at in enumerate(range(30, operations // 1000, 60))
    )
    gauges = tuple(Gauge(n / 10, 64, 64, draw.randrange(65)) for n in range(operations // 100))
    return Journal(RUN, History(made, faults, len(faults)), (), Verdict.PASS, gauges=gauges)


async def page(folder: Path) -> None:
    """Print the figures of the page: seconds to make it from a history, bytes, and until Chromium can be used."""
    recorded = big()
    began = time.perf_counter()
    part = part_of(recorded, (Finding("exactly once", Verdict.PASS, "right"),), "a million operations")
    text = page_html(Report("benchmark", (part,)))
    print(f"{'page of 1,000,000 operations, made in':<44}{time.perf_counter() - began:>9.2f} s")
    print(f"{'its size':<44}{len(text.encode()) / 1e6:>9.3f} MB")
    empty = page_html(Report("benchmark", ()))
    print(f"{'a page without data':<44}{len(empty.encode()) / 1e6:>9.3f} MB")
    file = folder / "report.html"
    file.write_text(text, encoding="utf-8")
    async with opened_browser() as tab:
        found = []
        for _ in range(5):
            await tab.open(file.as_uri())
            await tab.until("document.querySelectorAll('canvas').length > 0")
            found.append(float(await tab.evaluate("performance.now()")))
        print(f"{'until its charts are drawn in Chromium':<44}{median(found) / 1000:>9.2f} s")


@contextlib.asynccontextmanager
async def watched(live: LiveRun) -> AsyncIterator[None]:
    """Serve the live view, and read its events as a browser does."""
    async with (
        live_view(live.report) as server,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{server.port}/events") as events,
    ):
        task = asyncio.create_task(events.read())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])


async def rate(engine: AsyncEngine, path: Path, seed: int, *, live: bool) -> float:
    """Return how many operations per second the clients do, with a live view that is watched, or without one."""
    with JournalWriter(path) as writer:
        recorder = Recorder(writer)
        recorder.record(RUN)
        follower = LiveRun(NobodyAtAll())
        follower.scenario_begins(replace(SCENARIO, name=RUN.scenario))
        follower.watch(recorder)
        async with watched(follower) if live else contextlib.nullcontext():
            clients = Clients(SCENARIO, engine, recorder, seed, follower if live else Nobody())
            began = time.perf_counter()
            clients.start()
            while time.perf_counter() - began < SECONDS:
                await clients.operations_done(clients.completed + 1)
            done, seconds = clients.completed, time.perf_counter() - began
            await clients.stop(10)
            return done / seconds


async def live_overhead(folder: Path) -> None:
    """Let runs with and without a live view take turns, and print the medians and the median of their ratios."""
    run = RunFolder.create("bench")
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    try:
        await server.create(60)
        await server.start(60)
        here = Address(server.host, server.port)
        target = Target("postgresql", (here,), server.user, server.password, server.database)
        engine = resilient_engine(target, pool_size=SCENARIO.clients)
        await SCENARIO.workload.set_up(engine)
        rates: dict[bool, list[float]] = {True: [], False: []}
        for number in range(ROUNDS):
            for live in (True, False) if number % 2 else (False, True):
                rates[live].append(await rate(engine, folder / "journal.jsonl", number, live=live))
        await engine.dispose()
        for live, name in ((True, "with a live view that is watched"), (False, "without")):
            print(f"{name:<44}{median(rates[live][1:]):>9,.0f} operations/s")
        ratio = median(one / other for one, other in zip(rates[True][1:], rates[False][1:], strict=True))
        print(f"{'with over without, median of rounds':<44}{ratio:>9.3f}")
    finally:
        await server.stop(10)
        run.remove(10)


async def measure() -> None:
    """Print all figures."""
    with tempfile.TemporaryDirectory() as folder:
        await page(Path(folder))
        await live_overhead(Path(folder))


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
