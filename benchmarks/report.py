"""What a report costs: the page of a million operations, and what the live view takes from a run that it shows."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median, quantiles
from typing import NamedTuple

import aiohttp
import msgspec
import uvloop
from sqlalchemy.ext.asyncio import AsyncEngine

from benchmarks._journals import write_bank
from benchmarks.recording import RUN, SCENARIO
from lab.clients import Clients
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.db.engine import resilient_engine
from lab.db.target import Address, Target
from lab.journal import JournalWriter
from lab.recorder import Recorder
from lab.records import Record
from lab.report.live import LiveRun
from lab.report.live_server import EVERY, News, live_view
from lab.report.page.content import Report
from lab.report.page.html import page_html
from lab.state import RunFolder
from lab.suite import NobodyAtAll
from tests.lab.report.browser import Tab, opened_browser

OPERATIONS = 1_000_000
TIMES = 3
"""How often the command runs."""

ROUNDS = 16
"""Pairs of windows, one watched and one not."""

SECONDS = 2.0
"""How long a window lasts: some looks of the live view are in it."""

LOOKS = 20
"""How often the work of one look is timed."""

QUIET = 0.5
"""Seconds without a long task (50 ms or more) after which a page is taken to be ready."""

WATCH_PAGE = """window.long = 0; window.drawn = 0;
new PerformanceObserver(list => { for (const task of list.getEntries()) long = task.startTime + task.duration; }).observe({type: 'longtask', buffered: true});
(function look() { if (document.querySelector('canvas')) drawn = performance.now(); else requestAnimationFrame(look); })();"""  # noqa: E501

Watch = Callable[[str], AbstractAsyncContextManager[None]]


def tell(what: str, value: float, unit: str, aim: float | None = None) -> None:
    """Print a figure, and beside it what is aimed at, which is a most."""
    said = "" if aim is None else f"   aim {aim:g} {unit}: {'met' if value <= aim else 'missed'}"
    print(f"{what:<56}{value:>9.2f} {unit}{said}", flush=True)


def spread(what: str, percents: list[float]) -> None:
    """Print the median of what was found in pairs, with the quarters."""
    low, middle, high = quantiles(percents, n=4)
    tell(f"{what} ({low:+.1f} to {high:+.1f})", middle, "%", 5)


async def report_command(journal: Path, page: Path) -> None:
    """Print what ``lab report`` takes for a journal: time, memory, and the time beside that of reading the lines."""
    found = [_spawned(journal, page) for _ in range(TIMES)]
    floor = _decoded(journal)
    tell(
        f"lab report of {OPERATIONS:,} operations, median of {TIMES}",
        median(seconds for seconds, _, _ in found),
        "s",
        10,
    )
    processor = min(processor for _, processor, _ in found)
    tell("the least processor time of them", processor, "s")
    tell("as a multiple of decoding the lines alone", processor / floor, "x")
    tell("memory at its peak", max(memory for _, _, memory in found) / 1e6, "MB")


def _spawned(journal: Path, page: Path) -> tuple[float, float, float]:
    words = [sys.executable, "-m", "lab.cli", "report", str(journal), "--out", str(page)]
    began = time.perf_counter()
    child = os.posix_spawn(
        sys.executable, words, os.environ, file_actions=[(os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0)]
    )
    _, status, usage = os.wait4(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 1), "lab report did not judge the journal"
    memory = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return time.perf_counter() - began, usage.ru_utime + usage.ru_stime, memory


def _decoded(journal: Path) -> float:
    decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
    began = time.process_time()
    with journal.open("rb") as file:
        for line in file:
            decoder.decode(line)
    return time.process_time() - began


async def page_in_chromium(page: Path, tab: Tab) -> None:
    """Print how large the page is, and when Chromium has drawn it and answers."""
    tell("size of its page", page.stat().st_size / 1e6, "MB", 3)
    tell("size of a page without data", len(page_html(Report("benchmark", ())).encode()) / 1e6, "MB", 1)
    await tab.call("Page.enable")
    script = await tab.call("Page.addScriptToEvaluateOnNewDocument", source=WATCH_PAGE)
    ready = []
    for _ in range(5):
        await tab.open(page.as_uri())
        await tab.until(f"drawn > 0 && performance.now() - Math.max(long, drawn) > {QUIET * 1000}")
        ready.append(float(await tab.evaluate("Math.max(long, drawn)")) / 1000)
    await tab.call("Page.removeScriptToEvaluateOnNewDocument", **script)
    tell("until it is drawn and answers in Chromium, median of 5", median(ready), "s", 2)


def in_chromium(tab: Tab) -> Watch:
    """Return the watching of a live view in a browser."""

    @contextlib.asynccontextmanager
    async def watching(address: str) -> AsyncIterator[None]:
        await tab.open(address)
        yield
        await tab.call("Page.navigate", url="about:blank")
        await tab.until("location.href === 'about:blank'")

    return watching


@contextlib.asynccontextmanager
async def reading(address: str) -> AsyncIterator[None]:
    """Watch a live view with a client that takes all and draws nothing."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}events") as events:
        task = asyncio.create_task(events.read())
        yield
        task.cancel()
        await asyncio.wait([task])


class Window(NamedTuple):
    """What a run did in some seconds: operations per *second*, and seconds of the *processor* for each."""

    second: float
    processor: float


async def windows(engine: AsyncEngine, journal: Path, watch: Watch) -> list[tuple[Window, Window]]:
    """Return pairs of windows of one run: the first is watched, the other one, beside it, is not."""
    with JournalWriter(journal) as writer:
        recorder, follower = Recorder(writer), LiveRun(NobodyAtAll())
        recorder.record(RUN)
        follower.scenario_begins(replace(SCENARIO, name=RUN.scenario))
        follower.watch(recorder)
        clients = Clients(SCENARIO, engine, recorder, 1, follower)
        async with live_view(follower.report) as server:
            clients.start()
            await _window(clients)  # warms up
            found: dict[bool, list[Window]] = {True: [], False: []}
            for number in range(ROUNDS):
                for watched in (True, False) if number % 2 else (False, True):
                    address = f"http://127.0.0.1:{server.port}/"
                    async with watch(address) if watched else contextlib.nullcontext():
                        found[watched].append(await _window(clients))
            await clients.stop(10)
        _tell_look(follower)
        return list(zip(found[True], found[False], strict=True))


def _tell_look(follower: LiveRun) -> None:
    news, took = News(), []
    for _ in range(LOOKS):
        began = time.process_time()
        news.of(follower.report())
        took.append(time.process_time() - began)
    tell("  the work of one look, as a share of the time between", 100 * median(took) / EVERY, "%", 5)


async def _window(clients: Clients) -> Window:
    done, began, processor = clients.completed, time.perf_counter(), time.process_time()
    await asyncio.sleep(SECONDS)
    operations = clients.completed - done
    return Window(operations / (time.perf_counter() - began), (time.process_time() - processor) / operations)


async def live_overhead(folder: Path, tab: Tab) -> None:
    """Let windows with and without somebody who watches take turns in one run; print what watching takes from it."""
    run = RunFolder.create("bench")
    server = PostgresServer(run.path / "server", find_binaries(), run.environment())
    try:
        await server.create(60)
        await server.start(60)
        here = Address(server.host, server.port)
        target = Target("postgresql", (here,), server.user, server.password, server.database)
        engine = resilient_engine(target, pool_size=SCENARIO.clients)
        await SCENARIO.workload.set_up(engine)
        for name, watch in (("by a client", reading), ("in Chromium on the same machine", in_chromium(tab))):
            print(f"a live view watched {name}")
            pairs = await windows(engine, folder / "live.jsonl", watch)
            rates = [median(one.second for one in ones) for ones in zip(*pairs, strict=True)]
            print(f"  {rates[0]:,.0f} operations/s, and {rates[1]:,.0f} while nobody watches")
            spread("  operations/s that it takes", [100 * (1 - one.second / other.second) for one, other in pairs])
            spread(
                "  processor time that an operation takes more",
                [100 * (one.processor / other.processor - 1) for one, other in pairs],
            )
        await engine.dispose()
    finally:
        await server.stop(10)
        run.remove(10)


async def measure() -> None:
    """Print all figures."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        journal, page = folder / "journal.jsonl", folder / "report.html"
        write_bank(journal, OPERATIONS)
        tell("a journal", journal.stat().st_size / 1e6, "MB")
        await report_command(journal, page)
        tab = await stack.enter_async_context(opened_browser())
        await page_in_chromium(page, tab)
        await live_overhead(folder, tab)


def main() -> int:
    """Measure."""
    uvloop.run(measure())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
