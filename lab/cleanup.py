"""Cleaning up is finished once it has begun, whoever is in a hurry; nothing goes on behind anybody's back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

T = TypeVar("T")

STOP = 15.0
"""Seconds that a cluster has to end before it is killed."""


async def to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Finish what must not be left half-done even when cancelled meanwhile; the cancellation then goes on."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            if task.cancelled():
                raise
            cancelled = error
    if cancelled is not None:
        raise cancelled
    return task.result()


async def all_of(*work: Awaitable[object]) -> None:
    """Wait for the end of all, also when one fails, and raise the first one's error."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


class Tasks:
    """What is under way together."""

    def __init__(self) -> None:
        self.all: list[asyncio.Task[Any]] = []

    def create_task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin *work*."""
        task = asyncio.create_task(work)
        self.all.append(task)
        return task


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[Tasks]:
    """Yield what tasks are begun with; the block ends with the last of them, or with the error of the first failure.

    All have ended then. Not asyncio's TaskGroup: an error of a task that is being cancelled would take the place of the
    cancellation, and Ctrl-C would be lost to a fault that could not be healed.
    """
    tasks = Tasks()
    try:
        yield tasks
        if tasks.all:
            done, _ = await asyncio.wait(tasks.all, return_when=asyncio.FIRST_EXCEPTION)
            for task in (one for one in tasks.all if one in done and not one.cancelled()):
                task.result()
    finally:
        await to_its_end(_ended(tasks.all))


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
