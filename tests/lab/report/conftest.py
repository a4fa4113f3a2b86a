"""One browser for all tests of pages."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.lab.report.browser import Tab, opened_browser


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Tab]:
    """A browser that remembers what earlier tests did in it."""
    async with opened_browser() as opened:
        yield opened


@pytest.fixture
async def tab(browser: Tab) -> AsyncIterator[Tab]:
    """A browser without complaints yet, that forgets the theme in the end."""
    browser.problems.clear()
    yield browser
    await browser.evaluate("localStorage.clear()")
