"""Engines and sessions; and what only has such names."""

import asyncio

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import sessionmaker

from .settings import DATABASE_URL, LOCAL
from .store import Session

engine = create_async_engine(
    DATABASE_URL, pool_pre_ping=True, connect_args={"timeout": 5, "command_timeout": 5}
)
local = create_async_engine(LOCAL)
sessions = async_sessionmaker(engine)
scoped = async_scoped_session(sessions, scopefunc=asyncio.current_task)
blocking = sessionmaker(create_engine("sqlite://"))
store = Session()


def opened() -> AsyncSession:
    return sessions()
