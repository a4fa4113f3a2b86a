"""The application under test: an event loop in a thread of its own, so that no policy can stop the lab.

Its loop knows exactly how long a policy asked to sleep, and a heartbeat shows whether it ever stood still.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from contextvars import Context, ContextVar
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BEAT = 0.005
"""Seconds between two heartbeats."""

LETTING_GO = 1.0
"""Seconds that what still runs on the loop has to end."""

sleeps: ContextVar[Callable[[float], None] | None] = ContextVar("sleeps", default=None)
"""Told of the seconds of every asyncio.sleep() within a context."""


class _ListeningLoop(asyncio.SelectorEventLoop):
    """Tells of sleeps: exact, where a measured pause would have the noise of a busy machine in it."""

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        tell = sleeps.get()
        # The callback by which asyncio.sleep wakes up; time-outs use others.
        if tell is not None and getattr(callback, "__name__", "") == "_set_result_unless_cancelled":
            tell(delay)
        return super().call_later(delay, callback, *args, context=context)


class Application:
    """An event loop in a daemon thread. Use as an async context manager; *lag* is its longest standstill (s)."""

    def __init__(self) -> None:
        self.loop = _ListeningLoop()
        self.lag = 0.0
        self._thread = threading.Thread(target=self._live, name="application", daemon=True)

    async def __aenter__(self) -> Application:
        """Start the thread."""
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it; a policy that does not let itself be ended is left to the end of the process."""
        asyncio.run_coroutine_threadsafe(self._end(), self.loop)
        await asyncio.to_thread(self._thread.join, 2 * LETTING_GO)
        if not self._thread.is_alive():
            self.loop.close()

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the application's loop; a cancellation goes there too."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self.loop))

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Measure *lag* during the block, less what this loop saw at the same time: a busy machine slows both."""
        here = _Heart()
        there = _Heart()
        beating = asyncio.create_task(here.beat())
        theirs = asyncio.run_coroutine_threadsafe(there.beat(), self.loop)
        try:
            yield
        finally:
            beating.cancel()
            self.loop.call_soon_threadsafe(theirs.cancel)
            await asyncio.sleep(2 * BEAT)
            self.lag = max(0.0, there.longest - here.longest)

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def _end(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=LETTING_GO)
        self.loop.stop()


class _Heart:
    def __init__(self) -> None:
        self.longest = 0.0

    async def beat(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            before = clock()
            await asyncio.sleep(BEAT)
            self.longest = max(self.longest, clock() - before - BEAT)
