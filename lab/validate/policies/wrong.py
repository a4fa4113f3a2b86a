"""WRONG policies: mistakes that people really make, each with the dimension that must catch it. Never use them.

Those that an application can make with one loop are good in all else, so that the mistake alone is seen.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from lab.db.models import IdempotencyKey
from lab.retry import AlreadyApplied, Decision, OutcomeUnknown, Phase, Sessions, Work, classify, sqlstate, wrong
from lab.retry.shape import T
from lab.validate.policies.good import TRANSIENT, take_key

ATTEMPTS = 10
Pause = Callable[[int], Awaitable[None]]


async def jittered(attempt: int) -> None:
    """Wait as one should."""
    await asyncio.sleep(random.uniform(0, min(1.0, 0.05 * 2**attempt)))


async def only_40001(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: retries 40001 and nothing else, so a lost connection ends the unit."""
    return await _loop(sessions, work, key, again=lambda error, _: sqlstate(error) == "40001")


async def commit_outside_the_loop(sessions: Sessions, work: Work[T]) -> T:
    """MISTAKE: the loop ends before COMMIT, where a serializable database tells most of its conflicts."""
    async with sessions() as session:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                answer = await work(session)
                break
            except Exception as error:
                await session.rollback()
                if attempt == ATTEMPTS or classify(error, Phase.STATEMENT) not in TRANSIENT:
                    raise
            await jittered(attempt)
        await session.commit()  # noqa: LAB411
        return answer


async def endless_loop(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: goes on until it works, without a bound of attempts or seconds."""
    return await _loop(sessions, work, key, attempts=10**9, pause=lambda _: asyncio.sleep(random.uniform(0, 0.02)))


async def no_jitter(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: waits grow, but are the same for everybody: clients that collided collide again."""
    return await _loop(sessions, work, key, pause=lambda attempt: asyncio.sleep(min(1.0, 0.02 * 2**attempt)))


async def constant_wait(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: waits are drawn at random, but never grow."""
    return await _loop(sessions, work, key, pause=lambda _: asyncio.sleep(random.uniform(0.08, 0.12)))


async def no_deadline(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: attempts are bounded, seconds are not: fifty attempts of a second each are nearly a minute."""
    return await _loop(sessions, work, key, attempts=50)


async def retries_permanent_errors(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: repeats what can only fail again, such as a unique violation or a syntax error."""
    return await _loop(sessions, work, key, again=lambda _, phase: phase is not Phase.COMMIT or key is not None)


async def catches_cancelled(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: takes CancelledError for an error of the database, by catching BaseException."""
    try:
        return await _loop(sessions, work, key)
    except asyncio.CancelledError:
        return await _loop(sessions, work, key)


async def blocking_sleep(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: time.sleep() in a coroutine: nothing else in the process goes on meanwhile."""

    async def pause(attempt: int) -> None:
        time.sleep(0.1 + random.uniform(0, min(0.3, 0.02 * 2**attempt)))  # noqa: ASYNC251, LAB202 - the mistake

    return await _loop(sessions, work, key, pause=pause)


async def swallows_cancellation(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: a unit of work shall not be interrupted, so CancelledError is swallowed for ever: a shutdown hangs."""
    running = asyncio.ensure_future(_loop(sessions, work, key))
    while not running.done():
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:  # noqa: LAB421 - the mistake
            continue
    return running.result()


async def busy_wait(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: asks a task again and again whether it is done: on the same event loop it never will be."""

    async def pause(attempt: int) -> None:
        waiting = asyncio.ensure_future(jittered(attempt))
        while not waiting.done():
            pass

    return await _loop(sessions, work, key, pause=pause)


def waits_for_an_operator(sessions: Any, work: Callable[[Any], T]) -> T:
    """MISTAKE: sleeps for ever after an error, so that somebody can look at it; its caller hears nothing."""
    try:
        with sessions() as session, session.begin():
            return work(session)
    except Exception:
        while True:
            time.sleep(1)


async def leaks_sessions(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: closes the session of an attempt that succeeds, and forgets that of one that fails."""
    for attempt in range(1, ATTEMPTS + 1):
        session = sessions()
        try:
            if key is not None and not await take_key(session, key):
                await session.close()
                return AlreadyApplied(key)
            answer = await work(session)
            await session.commit()
        except Exception as error:
            if attempt == ATTEMPTS or classify(error, Phase.STATEMENT) not in TRANSIENT:
                raise
            await jittered(attempt)
        else:
            await session.close()
            return answer
    raise AssertionError


async def key_after_the_work(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: looks the key up in one transaction and writes it in another, after that of the work."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            async with sessions() as session:
                if await session.get(IdempotencyKey, key) is not None:
                    return AlreadyApplied(key or "")
            async with sessions() as session, session.begin():
                answer = await work(session)
            async with sessions() as session, session.begin():
                await take_key(session, key or "")
        except Exception as error:
            if attempt == ATTEMPTS or classify(error, Phase.STATEMENT) not in TRANSIENT:
                raise
            await jittered(attempt)
        else:
            return answer
    raise AssertionError


async def _transaction(sessions: Sessions, work: Work[T], key: str | None, phases: list[Phase]) -> T | AlreadyApplied:
    """One attempt, as it should be; the last of *phases* says how far it came."""
    async with sessions() as session:
        if key is not None and not await take_key(session, key):
            return AlreadyApplied(key)
        answer = await work(session)
        await session.flush()
        phases.append(Phase.COMMIT)
        await session.commit()
        return answer


async def _loop(
    sessions: Sessions,
    work: Work[T],
    key: str | None,
    *,
    attempts: int = ATTEMPTS,
    pause: Pause = jittered,
    again: Callable[[Exception, Phase], bool] | None = None,
) -> T | AlreadyApplied:
    """The loop as it should be, but for what the mistakes above put into it."""
    for attempt in range(1, attempts + 1):
        phases = [Phase.STATEMENT]
        try:
            return await _transaction(sessions, work, key, phases)
        except Exception as error:
            decision = classify(error, phases[-1])
            unknown = decision is Decision.UNKNOWN
            may = again(error, phases[-1]) if again else decision in TRANSIENT or (unknown and key is not None)
            if attempt < attempts and may:
                await pause(attempt)
            elif unknown:
                raise OutcomeUnknown("COMMIT was not answered", attempt, 0.0) from error
            else:
                raise
    raise AssertionError


WRONG: Mapping[str, tuple[Callable[..., Any], str]] = {
    "blind_retry": (wrong.blind_retry, "safety"),
    "forgets_commit_doubt": (wrong.forgets_commit_doubt, "safety"),
    "key_in_another_transaction": (wrong.key_in_another_transaction, "safety"),
    "key_after_the_work": (key_after_the_work, "safety"),
    "swallow": (wrong.swallow, "safety"),
    "no_retry": (wrong.no_retry, "liveness"),
    "only_40001": (only_40001, "liveness"),
    "commit_outside_the_loop": (commit_outside_the_loop, "liveness"),
    "storm": (wrong.storm, "restraint"),
    "endless_loop": (endless_loop, "restraint"),
    "no_deadline": (no_deadline, "restraint"),
    "no_jitter": (no_jitter, "restraint"),
    "constant_wait": (constant_wait, "restraint"),
    "retries_permanent_errors": (retries_permanent_errors, "restraint"),
    "waits_for_an_operator": (waits_for_an_operator, "restraint"),
    "same_session": (wrong.same_session, "hygiene"),
    "catches_cancelled": (catches_cancelled, "hygiene"),
    "swallows_cancellation": (swallows_cancellation, "hygiene"),
    "blocking_sleep": (blocking_sleep, "hygiene"),
    "busy_wait": (busy_wait, "hygiene"),
    "leaks_sessions": (leaks_sessions, "hygiene"),
}
"""Name -> (policy, the dimension that must catch it)."""
