"""A loop in a thread, for the lab's own work: the tests' loops come and go, and each test plugin has its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

ENDING = 15.0
"""Seconds that what was interrupted has to end."""


class LoopThread:
    """An event loop in a daemon thread; `call` it from any other thread, with or without a loop."""

    def __init__(self, name: str) -> None:
        """Start the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)
        self._thread.start()

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin *work* there; RuntimeError after `close`."""
        if not self._thread.is_alive():
            work.close()
            raise RuntimeError("the lab's loop has ended")
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* there and return its answer; Ctrl-C cancels it, and goes on once it has ended.

        Raises RuntimeError on the loop itself, which would wait for ever.
        """
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("this is the lab's own loop: await it here instead")
        ended = threading.Event()
        future = self.begin(_noted(work, ended))
        try:
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            ended.wait(ENDING)
            raise

    def close(self) -> None:
        """End the loop and the thread, within a bound. Idempotent."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(ENDING)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
            tasks = asyncio.all_tasks(self._loop)
            for task in tasks:
                task.cancel()
            self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()


async def _noted(work: Coroutine[Any, Any, T], ended: threading.Event) -> T:
    try:
        return await work
    finally:
        ended.set()
