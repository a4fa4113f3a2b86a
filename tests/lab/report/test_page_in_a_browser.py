"""The page in a real browser: it renders without complaint, its charts answer, in both themes and narrow."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from lab.history import FaultSpan
from lab.report.page.content import Report, part_of
from lab.report.page.html import page_html
from tests.lab.report.browser import Tab
from tests.lab.report.made import HOSTILE, findings, recorded, report_of, run_of

pytestmark = pytest.mark.slow

DRAWN = """(document.querySelector('[data-chart=latency]').scrollIntoView({block: 'center'}),
document.querySelectorAll('.plot canvas').length === 3)"""
INK = """(() => { const c = document.querySelector('canvas');
const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;
return new Set(Array.from({length: d.length / 4}, (_, i) => d[4*i] << 16 | d[4*i+1] << 8 | d[4*i+2])).size })()"""
MIDDLE = """(() => { document.querySelector('.chart').scrollIntoView({block: 'center'});
const r = document.querySelector('.u-over').getBoundingClientRect();
return [r.left + r.width * .4, r.top + r.height / 2] })()"""
SHADES = """(() => { const c = document.querySelector('canvas').getContext('2d');
const {offsetLeft: left, offsetTop: top, clientWidth: width} = document.querySelector('.u-over');
return [.5, 1.5, 2.5].map(at => c.getImageData(left + width * at / 4, top + 4, 1, 1).data.join()) })()"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture
def page(tmp_path: Path) -> str:
    """The address of a page with hostile words in it."""
    file = tmp_path / "report.html"
    file.write_bytes(page_html(report_of(HOSTILE)).encode())
    return file.as_uri()


async def test_a_page_is_drawn_hovered_keyed_and_dressed_without_a_complaint(tab: Tab, page: str) -> None:
    await tab.open(page)
    await tab.until(DRAWN)
    assert await tab.evaluate(INK) > 4

    await tab.hover(*(await tab.evaluate(MIDDLE)))
    await tab.until("document.querySelector('.tip')?.hidden === false")
    told = await tab.evaluate("document.querySelector('.tip').textContent")
    assert "ok" in told
    assert "#1 gateway of n1 down" in told

    await tab.evaluate("document.querySelectorAll('.chart')[1].focus()")
    await tab.press("ArrowRight")
    await tab.until("document.getElementById('said').textContent.includes('p99')")

    light = await tab.evaluate(BACKGROUND)
    await tab.prefer(dark=True)
    dark = await tab.evaluate(BACKGROUND)
    await tab.evaluate("document.getElementById('theme').click()")
    assert light != dark
    assert await tab.evaluate(BACKGROUND) == light
    assert tab.problems == []


async def test_a_page_fits_a_narrow_screen(tab: Tab, page: str) -> None:
    await tab.open(page, width=360, height=800)
    await tab.until(DRAWN)

    assert await tab.evaluate("document.documentElement.scrollWidth") <= 360
    assert await tab.evaluate("Math.max(...[...document.querySelectorAll('canvas')].map(c => c.clientWidth))") <= 360
    assert tab.problems == []


async def test_faults_in_force_at_the_same_time_are_shaded_once(tab: Tab, tmp_path: Path) -> None:
    made = recorded(run_of())
    spans = (
        FaultSpan(1, "one", 1.0, 2.0, 1, 1),
        FaultSpan(2, "other", 1.0, 3.0, 1, 1),
        FaultSpan(3, "third", 1.0, 2.0, 1, 1),
    )
    history = msgspec.structs.replace(made.history, faults=spans)
    part = part_of(msgspec.structs.replace(made, history=history, armed=()), findings(), "title")
    file = tmp_path / "report.html"
    file.write_text(page_html(Report("a server", (part,))))
    await tab.open(file.as_uri())
    await tab.until(DRAWN)

    none, three, one = await tab.evaluate(SHADES)
    assert none != three == one
