import asyncio
import time

import trio
from sqlalchemy import create_engine, event, select
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from app.models import User

engine = create_async_engine("sqlite+aiosqlite://")
sessions = async_sessionmaker(engine, expire_on_commit=False)
sync_engine = create_engine("sqlite://")
SyncSession = sessionmaker(sync_engine)


async def load(session: AsyncSession, key):
    return await session.get(User, key)


async def user(key):
    async with sessions() as session, session.begin():
        return await session.get(User, key)


async def own_session(key):
    async with sessions() as session:
        return await load(session, key)


async def gathered(keys):
    return await asyncio.gather(*(own_session(key) for key in keys))


async def one_with_session(session: AsyncSession, fetch):
    return await asyncio.gather(load(session, 1), fetch("https://example.org"))


async def in_turn(session: AsyncSession, keys):
    first = asyncio.create_task(load(session, 1))
    await first
    second = asyncio.create_task(load(session, 2))
    await second
    for key in keys:
        await asyncio.create_task(load(session, key))


async def each_its_own(keys):
    async with asyncio.TaskGroup() as group:
        for key in keys:
            group.create_task(own_session(key))


async def sessions_by_task(keys):
    opened = [sessions() for _ in keys]
    await asyncio.gather(*(load(session, key) for session, key in zip(opened, keys)))
    for session in opened:
        await session.close()


async def locked(session: AsyncSession, lock, work):
    await asyncio.gather(work(session, lock), work(session, lock))


async def in_thread():
    def work():
        with SyncSession() as session:
            time.sleep(0.1)
            return session.scalars(select(User)).all()

    await asyncio.to_thread(lambda: SyncSession().execute(select(User)))
    return await asyncio.to_thread(work)


async def run_sync(session: AsyncSession):
    await session.run_sync(lambda inner: inner.execute(select(User)))

    def listener(inner: Session):
        inner.execute(select(User))

    await session.run_sync(listener)
    event.listen(session.sync_session, "before_commit", listener)


async def adds(session: Session):
    session.add(User())


async def mislabelled(session: Session):
    return await session.execute(select(User))


async def sleeps():
    await asyncio.sleep(1)
    await trio.sleep(1)


def blocking():
    time.sleep(1)


async def isolated():
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="SERIALIZABLE")
        await connection.execute(select(User), execution_options={"yield_per": 10})


async def isolated_session(session: AsyncSession):
    await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})


async def closed_at_last():
    session = sessions()
    try:
        await session.execute(select(User))
    finally:
        await session.close()


async def handed_on(registry):
    session = sessions()
    registry.append(session)
    other = sessions()
    return other


async def entered():
    session = sessions()
    async with session:
        await session.execute(select(User))


async def scoped():
    registry = async_scoped_session(sessions, asyncio.current_task)
    session = registry()
    await session.execute(select(User))


async def yielded():
    session = sessions()
    yield session
