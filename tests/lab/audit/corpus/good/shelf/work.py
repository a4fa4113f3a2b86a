"""What is made elsewhere, used as it should be."""

import asyncio

from sqlalchemy import select, text

from . import db
from .db import blocking, opened, scoped, sessions, store
from .store import Session


async def counted(session: object) -> None: ...


async def one(key: int) -> None:
    async with sessions() as session:
        await session.execute(select(key))


async def gathered() -> None:
    await asyncio.gather(one(1), one(2))
    await asyncio.gather(counted(scoped), counted(scoped))  # a session for each task


async def another_session() -> None:
    store.execute("SELECT 1")
    store.commit()
    Session().query("anything")
    db.store.query("anything")


def synchronous() -> None:
    with blocking.begin() as session:
        session.execute(text("SELECT 1"))


async def aside() -> None:
    await asyncio.to_thread(synchronous)
    async with opened() as session:
        await session.execute(select(1))
