"""The page of a run that goes on, in a real browser: it shows what arrives, keeps what its reader did, ends whole."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.plan import Plan
from lab.history import FaultSpan, Final, Outcome
from lab.journal import Armed, Completed, Ended, Healed, Invoked, JournalWriter, read_journal
from lab.recorder import Recorder
from lab.report.live import LiveRun
from lab.report.live_server import live_view
from lab.report.page.html import page_html
from lab.runner import Result
from lab.scenarios import SCENARIOS
from lab.suite import NobodyAtAll, Suite
from lab.verdict import Finding, Verdict
from tests.lab.report.browser import Tab
from tests.lab.report.made import run_of

pytestmark = pytest.mark.slow

NAME = "gateway-lost"
OK = "document.querySelector('.tiles dd')?.textContent"
ENDED = "document.getElementById('status').textContent.includes('has ended')"
WORDS = """(main => { main.querySelectorAll('.tip, noscript').forEach(one => one.remove());
return main.textContent.replace(/\\s+/g, ' ') })(document.querySelector('main').cloneNode(true))"""
PICTURE = "document.querySelector('[data-chart=ops] canvas').toDataURL()"
TABLE = "document.querySelector('#p0-values details')"
SPANS = """['.2', '.6'].map((share, _, __, r = document.querySelector('.u-over').getBoundingClientRect()) =>
[r.left + r.width * share, r.top + r.height / 2])"""
KEYED = """(() => { const chart = document.querySelector('[data-chart=ops]'); chart.focus();
chart.dispatchEvent(new KeyboardEvent('keydown', {key: 'Home', bubbles: true}));
return document.getElementById('said').textContent })()"""


class Growing:
    """A run whose operations arrive when a test says so; *live* follows it."""

    def __init__(self, file: Path, writer: JournalWriter) -> None:
        self.live = LiveRun(NobodyAtAll())
        self.live.scenario_begins(SCENARIOS[NAME])
        self.recorder = Recorder(writer)
        self.live.watch(self.recorder)
        self.recorder.record(run_of(NAME))
        self._file = file

    def operations(self, first: int, last: int) -> None:
        """Let these operations happen, ten a second."""
        for n in range(first, last):
            self.recorder.record(Invoked(n, 0, "read", None, n / 10))
            self.recorder.record(Completed(n, Outcome.OK, n / 10 + 0.05, {}, 1))

    def ends(self) -> Suite:
        """End it: one run, that failed."""
        self.recorder.record(Ended(Final({}, {}, 0, 0)))
        recorded = read_journal(self._file)
        found = (Finding("conserved", Verdict.FAIL, "not so"),)
        result = Result(NAME, Verdict.FAIL, found, recorded.history, Plan((), 7), 6.0, self._file, recorded=recorded)
        self.live.scenario_ends(result)
        suite = Suite("embedded", "a server", 7, (result,))
        self.live.ended(suite)
        return suite


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[Growing]:
    """A run that has begun."""
    file = tmp_path / "run.jsonl"
    with JournalWriter(file) as writer:
        yield Growing(file, writer)


async def test_a_live_page_shows_what_arrives_keeps_what_its_reader_did_and_ends_whole(
    tab: Tab, growing: Growing, tmp_path: Path
) -> None:
    async with live_view(growing.live.report, every=0.05) as server:
        await tab.open(f"http://127.0.0.1:{server.port}/")
        growing.operations(0, 30)
        await tab.until(f"{OK} === '30'")
        await tab.until("document.querySelector('[data-chart=ops] canvas') !== null")
        assert await tab.evaluate("document.querySelector('h1').textContent.includes('gateway-lost')")
        before = await tab.evaluate(PICTURE)

        await tab.evaluate(f"{TABLE}.open = true, {TABLE}.querySelector('summary').focus()")
        growing.recorder.record(Armed(1, "gateway of n1 down", 3.0))
        growing.operations(30, 60)
        await tab.until(f"{OK} === '60' && document.getElementById('p0-proof').textContent.includes('in force')")
        await tab.until(f"{PICTURE} !== {before!r}")
        assert await tab.evaluate(f"{TABLE}.open && document.activeElement.parentElement === {TABLE}")

        (start, stop) = await tab.evaluate(SPANS)
        await tab.drag(start, stop)
        assert (await tab.evaluate(KEYED)).startswith("1.")
        growing.operations(60, 65)
        await tab.until(f"{OK} === '65'")
        assert (await tab.evaluate(KEYED)).startswith("1.")

        growing.recorder.record(Healed(FaultSpan(1, "gateway of n1 down", 3.0, 6.0, 1, 2)))
        growing.ends()
    await tab.until(ENDED)
    assert await tab.evaluate("document.title") == "fail · resilience report"
    live = await tab.evaluate(WORDS)
    file = tmp_path / "report.html"
    file.write_text(page_html(growing.live.report()))
    assert tab.problems == []
    await tab.open(file.as_uri())
    assert await tab.evaluate(WORDS) == live


async def test_a_run_from_the_command_line_can_be_watched_to_the_end(tab: Tab, tmp_path: Path) -> None:
    words = ("-m", "lab.cli", "run", "steady", "--seed", "7", "--live", "--report", str(tmp_path))
    run = await asyncio.create_subprocess_exec(sys.executable, *words, stdout=PIPE, stderr=PIPE, env=dict(os.environ))
    assert run.stderr is not None
    try:
        async with asyncio.timeout(60):
            line = (await run.stderr.readline()).decode()
            await tab.open(re.sub(r"^live: |\s+$", "", line))
            _, complaints = await run.communicate()
            await tab.until(ENDED)
    finally:
        if run.returncode is None:
            run.kill()
    assert run.returncode == 0, complaints
    live = await tab.evaluate(WORDS)
    assert tab.problems == []
    await tab.open((tmp_path / "report.html").as_uri())
    assert await tab.evaluate(WORDS) == live
