"""Engines and sessions of the application; what is made here is used everywhere."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, sessionmaker

from .settings import DATABASE_URL

engine = create_async_engine(DATABASE_URL)  # expect: LAB301, LAB302
sessions = async_sessionmaker(engine)
SyncSession = sessionmaker(create_engine("sqlite://"))
Opened = Annotated[AsyncSession, "handed over by the framework"]


class Database:
    def __init__(self) -> None:
        self.sessions = sessionmaker(create_engine("sqlite://"))

    def session(self) -> Session:
        return self.sessions()


database = Database()


@asynccontextmanager
async def opened() -> AsyncIterator[AsyncSession]:
    async with sessions() as session:
        yield session
