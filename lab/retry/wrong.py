"""WRONG policies: mistakes that people really make, in the shape of the right one. For teaching, never for use.

A scenario that cannot fail one of these proves nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from lab.db.models import IdempotencyKey
from lab.retry.classify import Decision, Phase, classify
from lab.retry.shape import AlreadyApplied, Policy, Sessions, T, Work

ATTEMPTS = 5
PAUSE = 0.01  # seconds
STORM_DEADLINE = 60.0  # seconds


async def no_retry(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T:  # noqa: ARG001
    """MISTAKE: one attempt only, though serialization failures are a normal answer of a distributed database."""
    async with sessions() as session, session.begin():
        return await work(session)


async def blind_retry(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T:
    """MISTAKE: retries every error, also a connection lost at COMMIT, without a key: units are applied twice."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await no_retry(sessions, work, key=key)
        except Exception:  # noqa: LAB405
            await asyncio.sleep(PAUSE)  # noqa: LAB403
    return await no_retry(sessions, work, key=key)


async def swallow(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
    """MISTAKE: takes any error for success, so units are reported done and lost."""
    try:
        return await no_retry(sessions, work, key=key)
    except Exception:
        return AlreadyApplied(key or "")


async def storm(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T:
    """MISTAKE: loops as fast as it can, with no wait, no jitter and no sense, on permanent errors as well."""
    async with asyncio.timeout(STORM_DEADLINE):
        while True:  # noqa: LAB402
            try:
                return await no_retry(sessions, work, key=key)
            except Exception:  # noqa: LAB405
                await asyncio.sleep(0)


async def forgets_commit_doubt(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T:
    """MISTAKE: takes a connection lost at COMMIT for a failure and says so: units that failed are there (phantoms)."""
    for _ in range(ATTEMPTS - 1):
        try:
            return await no_retry(sessions, work, key=key)
        except Exception as error:
            # COMMIT is where the doubt is, so the careful answer exists; it is thrown away here.
            if classify(error, Phase.COMMIT) is not Decision.RETRY:
                raise
            await asyncio.sleep(PAUSE)  # noqa: LAB403
    return await no_retry(sessions, work, key=key)


async def key_in_another_transaction(
    sessions: Sessions, work: Work[T], *, key: str | None = None
) -> T | AlreadyApplied:
    """MISTAKE: writes the key in a transaction of its own after the work: a crash between them forgets it."""
    for _ in range(ATTEMPTS):
        try:
            if key is not None and await _has(sessions, key):
                return AlreadyApplied(key)
            answer = await no_retry(sessions, work)
            await _remember(sessions, key)
        except Exception:  # noqa: LAB405
            await asyncio.sleep(PAUSE)  # noqa: LAB403
        else:
            return answer
    return await no_retry(sessions, work)


async def same_session(sessions: Sessions, work: Work[T], *, key: str | None = None) -> T:  # noqa: ARG001
    """MISTAKE: goes on with the session after an error, without rollback: every further attempt fails by the first."""
    async with sessions() as session:
        for _ in range(ATTEMPTS - 1):
            try:
                return await _work_and_commit(session, work)
            except Exception:  # noqa: LAB405
                await asyncio.sleep(PAUSE)  # noqa: LAB403
        return await _work_and_commit(session, work)


WRONG: Mapping[str, Policy] = {
    "blind_retry": blind_retry,
    "forgets_commit_doubt": forgets_commit_doubt,
    "key_in_another_transaction": key_in_another_transaction,
    "no_retry": no_retry,
    "same_session": same_session,
    "storm": storm,
    "swallow": swallow,
}


async def _work_and_commit(session: AsyncSession, work: Work[T]) -> T:
    answer = await work(session)
    await session.commit()
    return answer


async def _has(sessions: Sessions, key: str) -> bool:
    async with sessions() as session, session.begin():
        return await session.get(IdempotencyKey, key) is not None


async def _remember(sessions: Sessions, key: str | None) -> None:
    if key is not None:
        async with sessions() as session, session.begin():
            await session.execute(insert(IdempotencyKey).values(key=key).on_conflict_do_nothing())
