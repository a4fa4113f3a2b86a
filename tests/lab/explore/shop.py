"""A small application to explore: one right operation, and mistakes that people really make."""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.retry import RetryPolicy

Sessions = async_sessionmaker[AsyncSession]


async def setup(engine: AsyncEngine) -> None:
    """Make the tables."""
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS explored_orders (id bigserial PRIMARY KEY)"))
        await connection.execute(text("CREATE TABLE IF NOT EXISTS explored_stock (n integer)"))
        await connection.execute(text("INSERT INTO explored_stock VALUES (0)"))


async def orders(session: AsyncSession) -> int:
    """Count the effects."""
    return int((await session.execute(text("SELECT count(*) FROM explored_orders"))).scalar_one())


async def work(session: AsyncSession) -> None:
    """Do the statements of one order."""
    await session.execute(text("UPDATE explored_stock SET n = n - 1"))
    await session.execute(text("INSERT INTO explored_orders DEFAULT VALUES"))


async def right(sessions: Sessions) -> None:
    """Order with the lab's own policy and a key."""
    await RetryPolicy()(sessions, work, key=str(uuid.uuid4()))


async def once(sessions: Sessions) -> None:
    """Order once, and take every error for a failure."""
    async with sessions() as session, session.begin():
        await work(session)


async def blind(sessions: Sessions) -> None:
    """Order again after any error."""
    for _ in range(3):
        try:
            return await once(sessions)
        except Exception:  # noqa: S112 - the mistake
            continue
    raise RuntimeError("three times in vain")


async def swallowing(sessions: Sessions) -> None:
    """Say done whatever happens."""
    with contextlib.suppress(Exception):
        await once(sessions)


class NobodyKnows(Exception):
    """A name that the lab does not know."""


async def honest(sessions: Sessions) -> None:
    """Order once, and say of every error that nobody knows."""
    try:
        await once(sessions)
    except Exception as error:
        raise NobodyKnows from error


KEPT: list[AsyncSession] = []


async def leaking(sessions: Sessions) -> None:
    """Keep the session when something goes wrong."""
    session = sessions()
    try:
        await work(session)
        await session.commit()
        await session.close()
    except Exception:
        KEPT.append(session)
        raise


async def recovering(sessions: Sessions) -> None:
    """Fail a statement on purpose, and go on from a savepoint."""
    async with sessions() as session, session.begin():
        await session.execute(text("SAVEPOINT here"))
        try:
            await session.execute(text("SELECT 1/0"))
        except Exception:
            await session.connection()
        await session.execute(text("ROLLBACK TO SAVEPOINT here"))
        await work(session)


async def twice(sessions: Sessions) -> None:
    """Have two effects."""
    await once(sessions)
    await once(sessions)


async def raising(sessions: Sessions) -> None:
    """Fail without a fault."""
    raise ValueError("no stock")


async def silent(sessions: Sessions) -> None:
    """Use no session at all."""


async def endless(sessions: Sessions) -> None:
    """Never end."""
    await asyncio.Event().wait()


_calls = 0


async def deaf(sessions: Sessions) -> None:
    """Wait for ever after an error, and swallow every cancellation."""
    try:
        await once(sessions)
    except Exception:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(1)


async def spinning(sessions: Sessions) -> None:
    """Ask for ever whether something has changed, after an error."""
    try:
        await once(sessions)
    except Exception:
        while True:
            pass


async def unstoppable(sessions: Sessions) -> None:
    """Spin, and swallow even what nobody expects."""
    try:
        await once(sessions)
    except Exception:
        while True:
            with contextlib.suppress(BaseException):
                while True:
                    pass


async def moody(sessions: Sessions) -> None:
    """Send something else every second time."""
    global _calls
    _calls += 1
    async with sessions() as session, session.begin():
        if _calls % 2:
            await session.execute(text("SELECT 1"))
        await work(session)


def synchronous(sessions: Sessions) -> None:
    """Not asynchronous."""


async def without_parameters() -> None:
    """Take nothing."""


not_a_function = 1


async def not_a_number(session: AsyncSession) -> str:
    """Count with words."""
    return "many"
