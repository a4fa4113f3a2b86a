"""Engines of tests: their connections are given back on the loop that opened them, whichever plugin runs that."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator
from concurrent.futures import Future
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

ENDING = 5.0
"""Seconds that an engine has to be disposed of on a loop that runs in another thread."""


class OwnLoop:
    """Sees to it that *engine* leaves nothing open on any loop that used it.

    A loop that ends shuts its asynchronous generators down first: one of those, begun with the first connection that is
    opened on a loop, disposes of the engine just in time. `dispose` is for a loop that goes on.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Any] = weakref.WeakKeyDictionary()
        event.listen(engine.sync_engine, "connect", self._connected)

    def _connected(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        if loop not in self._loops:
            keeper = _until_the_loop_ends(self.engine)
            self._loops[loop] = keeper
            with contextlib.suppress(StopIteration):  # it yields at once
                keeper.asend(None).send(None)

    def dispose(self) -> None:
        """Close its connections; blocks, for a few seconds at most. Not for the loop of the engine itself."""
        for loop in [loop for loop in list(self._loops) if not loop.is_closed()]:
            if not loop.is_running():
                loop.run_until_complete(self.engine.dispose())
            elif not _runs_here(loop):
                disposing: Future[None] = asyncio.run_coroutine_threadsafe(self.engine.dispose(), loop)
                disposing.result(ENDING)


async def _until_the_loop_ends(engine: AsyncEngine) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await engine.dispose()


def _runs_here(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False
