"""Cleaning up is finished once it has begun, whoever is in a hurry; nothing goes on behind anybody's back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any


async def to_its_end(coroutine: Coroutine[Any, Any, None]) -> None:
    """Finish a clean-up even when cancelled meanwhile; the cancellation then goes on."""
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
    task.result()


async def all_of(*work: Awaitable[object]) -> None:
    """Wait for the end of all, also when one fails, and raise the first one's error."""
    for result in await asyncio.gather(*work, return_exceptions=True):
        if isinstance(result, BaseException):
            raise result


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Yield a task group that ends with the error of its first task that failed, as it is: one trouble, one error."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as several:
        raise several.exceptions[0] from several.exceptions[0].__cause__
