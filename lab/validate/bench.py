"""Units on their way through the policy, asynchronous or not, and the pool that they leave behind."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from sqlalchemy import event, text

from lab.application import Application, interrupt, interruptible
from lab.db import Target
from lab.validate.engines import asynchronous_engine, synchronous_engine
from lab.validate.loading import Loaded
from lab.validate.unit import Unit, run_async, run_sync

ENDING = 2.0
"""Seconds that a policy has to end once its case is over."""

CLOSING = 3.0
"""Seconds that what a policy left open has to be closed; more than the pool's time-out."""


class Bench(Protocol):
    """Runs units; *statements* counts what the engine sent. *stuck*: a unit goes on that could not be ended."""

    statements: int
    stuck: bool

    async def run(self, units: Sequence[Unit], limit: float) -> None:
        """Run all *units* at once; after *limit* seconds end what still runs."""

    async def checked_out(self) -> int:
        """Return how many connections are out of the pool."""

    async def next_user(self) -> str:
        """Use the pool as the next one would; return the trouble, or nothing."""

    async def close(self, units: Sequence[Unit]) -> None:
        """Close everything, as far as it lets itself be closed."""


class AsyncBench:
    """Asynchronous policies, on the application's loop."""

    def __init__(self, app: Application, policy: Loaded, target: Target, name: str, size: int) -> None:
        self.statements = 0
        self.stuck = False
        self._app = app
        self._policy = policy
        self._engine = asynchronous_engine(target, name, size)
        event.listen(self._engine.sync_engine, "before_cursor_execute", _counter(self))

    async def run(self, units: Sequence[Unit], limit: float) -> None:
        """Run all at once."""
        running = [self._app.launch(run_async(self._policy, unit, self._engine)) for unit in units]
        futures = [one.future for one in running]
        try:
            await asyncio.wait(futures, timeout=limit)
            for unit in units:
                unit.over = True
            await self._app.conclude(running, ENDING)
        finally:
            for future in futures:
                future.cancel()

    async def checked_out(self) -> int:
        """Return how many are out."""
        pool: Any = self._engine.pool
        return int(pool.checkedout())

    async def next_user(self) -> str:
        """Use it."""
        return await _trouble(self._app.run(self._use()))

    async def _use(self) -> None:
        async with self._engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self, units: Sequence[Unit]) -> None:
        """Close sessions and engine."""
        with suppress(Exception):
            await asyncio.wait_for(self._app.run(self._close(units)), CLOSING)

    async def _close(self, units: Sequence[Unit]) -> None:
        for unit in units:
            for session in unit.sessions if unit.ended else ():
                with suppress(Exception):
                    await session.close()
        await self._engine.dispose()


class SyncBench:
    """Synchronous policies, a thread for each unit."""

    def __init__(self, policy: Loaded, target: Target, name: str, size: int) -> None:
        self.statements = 0
        self.stuck = False
        self._policy = policy
        self._engine = synchronous_engine(target, name, size)
        event.listen(self._engine, "before_cursor_execute", _counter(self))

    async def run(self, units: Sequence[Unit], limit: float) -> None:
        """Run all at once; a thread cannot be cancelled: its next session is refused, then it is interrupted."""
        threads = {_in_thread(partial(run_sync, self._policy, unit, self._engine)) for unit in units}
        late = await _wait(threads, limit)
        for unit in units:
            unit.over = True
        late = await _wait(late, ENDING)
        for thread in late:
            interrupt(thread.thread)
        self.stuck = bool(await _wait(late, ENDING))

    async def checked_out(self) -> int:
        """Return how many are out."""
        pool: Any = self._engine.pool
        return int(pool.checkedout())

    async def next_user(self) -> str:
        """Use it."""
        return await _trouble(_in_thread(self._use).future)

    def _use(self) -> None:
        with self._engine.connect() as connection:
            connection.execute(text("SELECT 1"))

    async def close(self, units: Sequence[Unit]) -> None:
        """Close sessions and engine."""
        with suppress(Exception):
            await asyncio.wait_for(_in_thread(lambda: self._close(units)).future, CLOSING)

    def _close(self, units: Sequence[Unit]) -> None:
        for unit in units:
            for session in unit.sessions if unit.ended else ():
                with suppress(Exception):
                    session.close()
        self._engine.dispose()


def make_bench(app: Application, policy: Loaded, target: Target, name: str, size: int) -> Bench:
    """Return the bench for this kind of policy."""
    if policy.synchronous:
        return SyncBench(policy, target, name, size)
    return AsyncBench(app, policy, target, name, size)


def _counter(bench: AsyncBench | SyncBench) -> Callable[..., None]:
    def count(*_: object) -> None:
        bench.statements += 1

    return count


@dataclass(frozen=True, slots=True, eq=False)
class _Thread:
    thread: threading.Thread
    future: asyncio.Future[None]


def _in_thread(work: Callable[[], None]) -> _Thread:
    """Run *work* in a daemon thread: one that never ends must not keep the process."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            interruptible(work)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    thread = threading.Thread(target=run, name="unit", daemon=True)
    thread.start()
    return _Thread(thread, asyncio.wrap_future(future))


async def _wait(threads: Collection[_Thread], seconds: float) -> list[_Thread]:
    """Return those that have not ended after so many *seconds*."""
    if threads:
        await asyncio.wait([one.future for one in threads], timeout=seconds)
    return [one for one in threads if not one.future.done()]


async def _trouble(using: Any) -> str:
    try:
        await asyncio.wait_for(using, CLOSING)
    except Exception as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
    return ""
