"""GOOD policies, to copy from. Each is accepted by ``lab validate lab.validate.policies.good:NAME``.

What they have in common: session, work and COMMIT are inside the attempt; the key is written by the transaction that
does the work; waits grow and are drawn at random; attempts and seconds are bounded; doubt is said.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, stop_after_delay, wait_random_exponential

from lab.db.models import IdempotencyKey
from lab.retry import AlreadyApplied, Decision, OutcomeUnknown, Phase, RetryPolicy, Sessions, Work, classify
from lab.retry.shape import T

ATTEMPTS, DEADLINE = 10, 12.0
FIRST, LONGEST = 0.05, 1.0  # seconds: bounds of the first wait and of all
TRANSIENT = frozenset({Decision.RETRY, Decision.RETRY_LATER})

recommended = RetryPolicy()
"""The lab's own policy with its defaults."""


async def keyless(sessions: Sessions, work: Work[T]) -> T | AlreadyApplied:
    """The lab's own policy without a key: after a lost acknowledgement it honestly says that it does not know."""
    return await RetryPolicy()(sessions, work)


async def plain_loop(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """A loop without any library; what an error means comes from lab.retry.classify."""
    started = time.monotonic()
    doubt: Exception | None = None
    for attempt in range(1, ATTEMPTS + 1):
        phase = Phase.STATEMENT
        try:
            async with sessions() as session:
                if key is not None:
                    if not await take_key(session, key):
                        return AlreadyApplied(key)
                    doubt = None  # we hold the key: no earlier attempt can be applied any more
                answer = await work(session)
                await session.flush()
                phase = Phase.COMMIT
                await session.commit()
                return answer
        except Exception as error:
            decision = classify(error, phase)
            if decision is Decision.UNKNOWN:
                doubt = error
            again = decision in TRANSIENT or (decision is Decision.UNKNOWN and key is not None)
            seconds = time.monotonic() - started
            if not again or attempt == ATTEMPTS or seconds > DEADLINE:
                if doubt is not None:
                    raise OutcomeUnknown("COMMIT was not answered", attempt, seconds) from doubt
                raise
        await asyncio.sleep(random.uniform(0, min(LONGEST, FIRST * 2**attempt)))
    raise AssertionError


async def with_tenacity(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """The same with tenacity: an error at COMMIT becomes OutcomeUnknown, which only a key allows to repeat."""

    def again(error: BaseException) -> bool:
        if isinstance(error, OutcomeUnknown):
            return key is not None
        return classify(error, Phase.STATEMENT) in TRANSIENT

    doubts: list[OutcomeUnknown] = []

    async def remembering() -> T | AlreadyApplied:
        try:
            return await _once(sessions, work, key)
        except OutcomeUnknown as doubt:
            doubts.append(doubt)
            raise

    retrying = AsyncRetrying(
        retry=retry_if_exception(again),
        wait=wait_random_exponential(multiplier=FIRST, max=LONGEST),
        stop=stop_after_attempt(ATTEMPTS) | stop_after_delay(DEADLINE),
        reraise=True,
    )
    try:
        answer: T | AlreadyApplied = await retrying(remembering)
    except Exception as error:
        if doubts and error is not doubts[-1]:
            raise doubts[-1] from error  # a later failure does not settle an earlier doubt
        raise
    return answer


async def _once(sessions: Sessions, work: Work[T], key: str | None) -> T | AlreadyApplied:
    async with sessions() as session:
        if key is not None and not await take_key(session, key):
            return AlreadyApplied(key)
        answer = await work(session)
        await session.flush()
        try:
            await session.commit()
        except Exception as error:
            if classify(error, Phase.COMMIT) is Decision.UNKNOWN:
                raise OutcomeUnknown("COMMIT was not answered", 1, 0.0) from error
            raise
        return answer


def synchronous(sessions: Any, work: Callable[[Session], T], *, key: str | None = None) -> T | AlreadyApplied:
    """The plain loop for a synchronous application."""
    started = time.monotonic()
    doubt: Exception | None = None
    for attempt in range(1, ATTEMPTS + 1):
        phase = Phase.STATEMENT
        try:
            with sessions() as session:
                if key is not None:
                    if session.scalar(taking(key)) is None:
                        return AlreadyApplied(key)
                    doubt = None
                answer = work(session)
                session.flush()
                phase = Phase.COMMIT
                session.commit()
                return answer
        except Exception as error:
            decision = classify(error, phase)
            if decision is Decision.UNKNOWN:
                doubt = error
            again = decision in TRANSIENT or (decision is Decision.UNKNOWN and key is not None)
            seconds = time.monotonic() - started
            if not again or attempt == ATTEMPTS or seconds > DEADLINE:
                if doubt is not None:
                    raise OutcomeUnknown("COMMIT was not answered", attempt, seconds) from doubt
                raise
        time.sleep(random.uniform(0, min(LONGEST, FIRST * 2**attempt)))
    raise AssertionError


def taking(key: str) -> Any:
    """Return the statement that takes an idempotency key; it returns nothing if the key is there already."""
    return insert(IdempotencyKey).values(key=key).on_conflict_do_nothing().returning(IdempotencyKey.key)


async def take_key(session: AsyncSession, key: str) -> bool:
    """Take *key* in the session's transaction; False if it was taken before, so that the unit is applied."""
    return await session.scalar(taking(key)) is not None


GOOD: Mapping[str, Callable[..., Any]] = {
    "recommended": recommended,
    "keyless": keyless,
    "plain_loop": plain_loop,
    "with_tenacity": with_tenacity,
    "synchronous": synchronous,
}
