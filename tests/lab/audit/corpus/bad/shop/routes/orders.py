"""Names from other files: relative, absolute, handed on, by star, by a module."""

import asyncio

from sqlalchemy import select

import shop.db
from shop.db import Opened, SyncSession, opened

from .. import db
from ..names import LocalSession, database, nothing, sessions


async def by_name() -> None:
    with SyncSession() as session:
        session.execute(select(1))  # expect: LAB201


async def handed_on() -> None:
    with LocalSession() as session:
        session.commit()  # expect: LAB201


async def by_module() -> None:
    with db.SyncSession() as session, shop.db.SyncSession() as other:
        session.flush()  # expect: LAB201
        other.flush()  # expect: LAB201


async def of_an_object() -> None:
    with database.sessions() as session:
        session.flush()  # expect: LAB201
    database.session().commit()  # expect: LAB201


async def work(session, key: int) -> None:
    await session.get(object, key)


async def gathered(session: Opened) -> None:
    await asyncio.gather(work(session, 1), work(session, 2))  # expect: LAB211


async def gathered_from_a_factory() -> None:
    async with sessions() as session:
        await asyncio.gather(work(session, 1), work(session, 2))  # expect: LAB211
    async with opened() as another:
        await asyncio.gather(*(work(another, key) for key in range(3)))  # expect: LAB211


async def never_closed() -> None:
    session = db.sessions()  # expect: LAB214
    await session.execute(select(1))


async def bare(session: Opened) -> None:
    await session.execute("SELECT 1")  # expect: LAB111


nothing = nothing
