"""The page can be read and used by everybody: the rules of axe-core, and the contrast of what axe-core cannot see."""

from __future__ import annotations

import re
from importlib.resources import files
from itertools import product
from pathlib import Path

import pytest

from lab.report.page.html import asset, page_html
from lab.report.witness import COLOURS, OTHER
from tests.lab.report.browser import Tab
from tests.lab.report.made import report_of_every_verdict

TEXT, GRAPHICS = 4.5, 3.0
"""The least contrast of text and of lines and areas that say something: WCAG 2.2, 1.4.3 and 1.4.11, level AA."""

SHOW_ALL = """dispatchEvent(new Event('beforeprint'));
document.querySelectorAll('details').forEach(one => one.open = true); document.querySelectorAll('canvas').length"""
FOUND = """axe.run(document, {preload: false}).then(found => [
found.violations.flatMap(rule => rule.nodes.map(node => `${rule.id}: ${node.html} ${node.failureSummary}`)),
found.incomplete.flatMap(rule => rule.nodes.map(node => [node.any[0]?.data?.messageKey || rule.id, node.html]))])"""
UNDECIDED = {"nonBmp", "shortTextContent"}
"""What the contrast of cannot fail: signs beside their word, and single figures."""

STYLE = {
    name: (light, dark)
    for name, light, dark in re.findall(r"--([\w-]+):light-dark\((#\w+),(#\w+)\)", asset("page.css"))
}
GROUNDS = ("card", "bg", "soft", "good-bg", "bad-bg", "doubt-bg", "run-bg")
WORDS = ("fg", "muted", "link", "good", "bad", "doubt", "run")
LINES = ("ok", "fail", "info", "p50", "p99", "out", "open")


async def judged(tab: Tab) -> tuple[list[str], list[tuple[str, str]]]:
    """Return what breaks a rule, and what axe-core could not decide with the reason."""
    broken, undecided = await tab.evaluate(FOUND)
    return broken, [(why, html) for why, html in undecided]


@pytest.mark.slow
async def test_a_page_breaks_no_rule_of_axe_core_light_and_wide_or_dark_and_narrow(tab: Tab, tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text(page_html(report_of_every_verdict()))
    axe = files("axe_core_python").joinpath("axe.min.js").read_text("utf-8")
    await tab.open(file.as_uri(), width=1280)
    assert await tab.evaluate(SHOW_ALL) == 12
    await tab.evaluate(f"{axe};0")

    broken, undecided = await judged(tab)
    assert broken == []
    assert [(why, html) for why, html in undecided if why not in UNDECIDED and "<text" not in html] == []
    await tab.prefer(dark=True)
    await tab.resize(390, 800)
    assert (await judged(tab))[0] == []
    assert tab.problems == []


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_and_lines_stand_out_from_whatever_is_behind_them(theme: int) -> None:
    words = {
        (word, ground): contrast(STYLE[word][theme], STYLE[ground][theme]) for word, ground in product(WORDS, GROUNDS)
    }
    lines = {line: contrast(STYLE[line][theme], STYLE["card"][theme]) for line in LINES}

    assert {pair: ratio for pair, ratio in words.items() if ratio < TEXT} == {}
    assert {line: ratio for line, ratio in lines.items() if ratio < GRAPHICS} == {}


@pytest.mark.parametrize(("theme", "alone"), [(0, "#ffffff"), (1, "#0d1117")], ids=["light", "dark"])
def test_every_kind_of_dependency_can_be_read_in_a_page_and_in_a_picture_of_its_own(theme: int, alone: str) -> None:
    grounds = [alone, STYLE["card"][theme], STYLE["bad-bg"][theme]]

    ratios = {
        (kind, ground): contrast(both[theme], ground) for (kind, both), ground in product(COLOURS.items(), grounds)
    }
    assert {pair: ratio for pair, ratio in ratios.items() if ratio < TEXT} == {}
    assert OTHER not in COLOURS


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours as WCAG defines it."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    """Return the relative luminance of #rgb or #rrggbb as WCAG defines it."""
    digits = colour[1:] if len(colour) == 7 else "".join(digit * 2 for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
