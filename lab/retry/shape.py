"""The shape of every policy, right or wrong."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

T = TypeVar("T")
Sessions: TypeAlias = async_sessionmaker[AsyncSession]
Work: TypeAlias = Callable[[AsyncSession], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class AlreadyApplied:
    """The answer for a unit whose *key* is in the database: applied once, by a lost attempt or an earlier call.

    What the work returned then is gone with its acknowledgement; whoever needs it reads it again.
    """

    key: str


class Policy(Protocol):
    """Run *work* in one transaction of its own, so that it is applied at most once, or say what is not known.

    *work* runs statements on the session that it is given; it neither commits nor rolls back, and it can be called
    many times, so it must have no effect but through that session. With *key* the unit can be settled after a lost
    acknowledgement; the answer is then possibly AlreadyApplied.
    """

    async def __call__(self, sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
        """Return what *work* returned, once it is committed."""
        ...
