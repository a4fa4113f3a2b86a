"""The mistake that most people make: any database error is repeated, and the key is ignored.

An acknowledgement that is lost looks like a COMMIT that is lost, and so the order is placed twice.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

T = TypeVar("T")


async def run(
    sessions: async_sessionmaker[AsyncSession], work: Callable[[AsyncSession], Awaitable[T]], *, key: str
) -> T | None:
    """Apply *work*, and once more whenever something goes wrong."""
    del key
    for _ in range(7):  # noqa: LAB402 - one of its mistakes
        try:
            async with sessions() as session, session.begin():
                return await work(session)
        except DBAPIError:
            continue
    async with sessions() as session, session.begin():
        return await work(session)
