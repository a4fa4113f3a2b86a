import asyncio
from asyncio import TaskGroup, create_task, gather

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from app.models import Order, User

engine = create_async_engine("sqlite+aiosqlite://")
sessions = async_sessionmaker(engine)


async def load(session, key):
    return await session.get(User, key)


async def both(session: AsyncSession):
    return await asyncio.gather(  # expect: LAB211
        session.execute(select(User)),
        session.execute(select(Order)),
    )


async def handed(keys):
    async with sessions() as session:
        return await gather(load(session, 1), load(session, 2))  # expect: LAB211


async def comprehended(session: AsyncSession, keys):
    return await gather(*(load(session, key) for key in keys))  # expect: LAB211


async def listed(session: AsyncSession, keys):
    work = [load(session=session, key=key) for key in keys]
    return await asyncio.gather(*work, return_exceptions=True)  # expect: LAB211


async def grouped(session: AsyncSession):
    async with asyncio.TaskGroup() as group:
        group.create_task(load(session, 1))
        group.create_task(load(session, 2))  # expect: LAB212


async def looped(keys):
    async with sessions.begin() as session, TaskGroup() as group:
        for key in keys:
            group.create_task(load(session, key))  # expect: LAB212


async def tasks(session: AsyncSession, keys):
    running = [create_task(load(session, key)) for key in keys]  # expect: LAB212
    for one in running:
        await one


async def forgotten():
    session = sessions()  # expect: LAB214
    session.add(User())
    await session.commit()


async def made_by_hand():
    session = AsyncSession(engine)  # expect: LAB214
    return (await session.execute(select(User))).all()
