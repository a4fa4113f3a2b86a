"""The application under test: an event loop in a thread of its own, so that nothing it does can stop the lab.

Its loop knows exactly how long somebody asked to sleep, and a heartbeat shows whether it ever stood still. What does
not let itself be cancelled is interrupted; what does not let itself be interrupted is left to the end of the process.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import itertools
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Sequence
from concurrent.futures import Future
from contextvars import Context, ContextVar
from typing import Any, Generic, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BEAT = 0.005
"""Seconds between two heartbeats."""

LETTING_GO = 1.0
"""Seconds that what still runs on the loop has to end."""

CANCELS = 4
"""Times that what has to end is cancelled: who takes one for an error of the database does not take the last."""


STANDING = 0.05
"""Seconds without an answer after which a loop is taken to stand still, if it does not end what was cancelled."""


LEAST_TURN = 0.00001
"""Seconds after which what cannot be ended has to let others run, to the end of the process."""


class Interrupted(BaseException):
    """Raised in a thread that stands still; not an Exception, so that nobody takes it for one to be retried."""


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


class Running(Generic[T]):
    """A coroutine on the loop of an application; *future* has its result here."""

    def __init__(self, work: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._loop = loop
        self.future = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._run(work), loop))

    async def _run(self, work: Coroutine[Any, Any, T]) -> T:
        self._task = asyncio.current_task()
        return await work

    def cancel(self) -> None:
        """Cancel it where it runs; unlike a cancelled future this one still tells when it has ended."""
        if self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)


class Application:
    """An event loop in a daemon thread. Use as an async context manager; *lag* is its longest standstill (s)."""

    loop: asyncio.AbstractEventLoop

    def __init__(self) -> None:
        self.lag = 0.0
        self._thread = threading.Thread(target=interruptible, args=(self._live,), name="application", daemon=True)

    async def __aenter__(self) -> Application:
        """Start the thread."""
        self.loop = _ListeningLoop()
        self._thread.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """End it, within some seconds."""
        # What is left in the end is known to be; asyncio would tell of it once more.
        self.loop.set_exception_handler(lambda *_: None)
        # A coroutine is made only where the loop comes to it: one that is never awaited would be complained of.
        self.loop.call_soon_threadsafe(lambda: self.loop.create_task(self._end()))
        ends = time.monotonic() + 2 * LETTING_GO
        await asyncio.to_thread(self._thread.join, STANDING)
        while self.lives and time.monotonic() < ends:
            await self._move(STANDING)
            await asyncio.to_thread(self._thread.join, STANDING)
        for task in asyncio.all_tasks(self.loop):
            # To destroy a coroutine is to go on with it, by GeneratorExit, and who swallows all would do so here.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(task))
        if self.lives:
            # It is in the way of all other threads, and waits for its turn as they do.
            sys.setswitchinterval(LEAST_TURN)
        else:
            self.loop.close()

    @property
    def lives(self) -> bool:
        """Whether its thread runs: after the end, that it could not be ended."""
        return self._thread.is_alive()

    def launch(self, work: Coroutine[Any, Any, T]) -> Running[T]:
        """Begin *work* on the application's loop."""
        return Running(work, self.loop)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the application's loop; a cancellation goes there too."""
        return await self.launch(work).future

    async def conclude(self, running: Collection[Running[Any]], within: float) -> bool:
        """End what still runs, in at most twice *within* seconds, and return whether it has ended."""
        late = {one.future: one for one in running if not one.future.done()}
        for _ in range(CANCELS):
            for one in late.values():
                one.cancel()
            await _wait(late, within / CANCELS)
        ends = time.monotonic() + within
        while late and time.monotonic() < ends and await self._move(STANDING):
            await _wait(late, STANDING)
        return not late

    async def _move(self, within: float) -> bool:
        """Interrupt a loop that stands still; return whether it did."""
        heard: Future[None] = Future()
        self.loop.call_soon_threadsafe(heard.set_result, None)
        done, _ = await asyncio.wait({asyncio.wrap_future(heard)}, timeout=within)
        if not done:
            interrupt(self._thread)  # which ends one of its tasks, and perhaps lets the next stand still
        return not done

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Measure *lag* during the block."""
        begins = time.monotonic()
        here, there = [begins], [begins]
        beating = asyncio.create_task(_beat(here))
        theirs = asyncio.run_coroutine_threadsafe(_beat(there), self.loop)
        try:
            yield
        finally:
            beating.cancel()
            self.loop.call_soon_threadsafe(theirs.cancel)
            await asyncio.sleep(2 * BEAT)
            ends = time.monotonic()
            self.lag = standstill([*there, ends], [*here, ends])

    def _live(self) -> None:
        asyncio.set_event_loop(self.loop)
        over = False
        while not over:
            with contextlib.suppress(Interrupted):  # which came too late, between two tasks
                self.loop.run_forever()
                over = True

    async def _end(self) -> None:
        mine = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not mine]
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=LETTING_GO)
        self.loop.stop()


async def _beat(beats: list[float]) -> None:
    """Note the time again and again; at the end, too, so that a pause at the end is none."""
    try:
        while True:
            beats.append(time.monotonic())
            await asyncio.sleep(BEAT)
    finally:
        beats.append(time.monotonic())


def standstill(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """Return the longest time between two of *their* beats, less the longest that *ours* paused meanwhile (seconds).

    A machine that is busy stops both at once. What our loop missed at any other time excuses nothing.
    """
    longest = 0.0
    for begin, end in itertools.pairwise(theirs):
        if end - begin > longest:
            pauses = (min(b, end) - max(a, begin) for a, b in itertools.pairwise(ours) if a < end and b > begin)
            longest = max(longest, end - begin - max(BEAT, max(pauses, default=0.0)))
    return longest


def interruptible(work: Callable[[], None]) -> None:
    """Run *work* in this thread, which `interrupt` can reach for just as long."""
    here = threading.get_ident()
    with _lock:
        _reachable.add(here)
    try:
        work()
    finally:
        with _lock:
            _reachable.discard(here)
            _raise_in(here, None)  # one that has come too late must not hit what is none of its business


def interrupt(thread: threading.Thread) -> None:
    """Raise `Interrupted` in *thread* as soon as it runs Python code; what it waits for elsewhere ends first."""
    with _lock:
        if thread.ident in _reachable:
            _raise_in(thread.ident, ctypes.py_object(Interrupted))


def _raise_in(ident: int, error: object) -> None:
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), error)


_lock = threading.Lock()
_reachable: set[int] = set()


async def _wait(late: dict[asyncio.Future[Any], Running[Any]], seconds: float) -> None:
    if late:
        done, _ = await asyncio.wait(late, timeout=seconds)
        for future in done:
            del late[future]
