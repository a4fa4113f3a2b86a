"""Cleaning up is finished once it has begun, whoever is in a hurry."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
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
