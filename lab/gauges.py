"""The gauge of the application's pool: a record every tenth of a second, so that a report can draw it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from sqlalchemy.pool import QueuePool

from lab.journal import Gauge
from lab.recorder import Recorder

EVERY = 0.1
"""Seconds between two looks."""


@contextlib.asynccontextmanager
async def pool_gauged(pool: QueuePool, recorder: Recorder, every: float = EVERY) -> AsyncIterator[None]:
    """Record how many connections of *pool* are open and checked out, once *every* so many seconds."""
    task = asyncio.create_task(_look(pool, recorder, every))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])  # a journal that cannot be written is told by the clients, too
        if not task.cancelled():
            task.exception()


async def _look(pool: QueuePool, recorder: Recorder, every: float) -> None:
    while True:
        used = pool.checkedout()
        recorder.record(Gauge(recorder.now(), pool.size(), pool.checkedin() + used, used))
        await asyncio.sleep(every)
