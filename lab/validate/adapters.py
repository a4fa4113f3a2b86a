"""One line from tenacity to a policy: session, work and COMMIT inside each attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tenacity import AsyncRetrying, BaseRetrying

from lab.retry.shape import Sessions, Work


def from_tenacity(retrying: BaseRetrying) -> Callable[..., Any]:
    """Return the policy of an `AsyncRetrying` or `Retrying` object; synchronous for the latter. It takes no key."""
    return from_decorator(retrying.wraps, synchronous=not isinstance(retrying, AsyncRetrying))


def from_decorator(decorate: Callable[[Any], Any], *, synchronous: bool = False) -> Callable[..., Any]:
    """Return the policy of a retry decorator (tenacity, stamina, backoff, your own), around one whole transaction."""
    return _synchronous(decorate) if synchronous else _asynchronous(decorate)


def _asynchronous(decorate: Callable[[Any], Any]) -> Callable[..., Any]:
    async def once(sessions: Sessions, work: Work[Any]) -> Any:
        async with sessions() as session, session.begin():
            return await work(session)

    decorated = decorate(once)

    async def policy(sessions: Sessions, work: Work[Any]) -> Any:
        return await decorated(sessions, work)

    return policy


def _synchronous(decorate: Callable[[Any], Any]) -> Callable[..., Any]:
    def once(sessions: Any, work: Callable[[Any], Any]) -> Any:
        with sessions() as session, session.begin():
            return work(session)

    decorated = decorate(once)

    def policy(sessions: Any, work: Callable[[Any], Any]) -> Any:
        return decorated(sessions, work)

    return policy
