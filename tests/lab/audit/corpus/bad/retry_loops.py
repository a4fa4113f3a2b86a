import asyncio
import itertools
import random
import time

import httpx
import requests
from sqlalchemy import insert, select
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker

from app.mail import send_email
from app.models import Account, Order

SQLSTATES = {"40001", "40P01"}


async def endless(sessions: async_sessionmaker[AsyncSession]):
    while True:  # expect: LAB401
        try:
            async with sessions.begin() as session:
                account = await session.get_one(Account, 1)
                account.name = "new"
                return
        except OperationalError:
            await asyncio.sleep(random.uniform(0, 1))


def counted(sessions: "sessionmaker[Session]"):
    for attempt in itertools.count():  # expect: LAB401
        try:
            with sessions.begin() as session:
                session.get_one(Account, 1).name = "new"
            break
        except OperationalError:
            time.sleep(random.random() * min(8, 2**attempt))


async def storm(sessions: async_sessionmaker[AsyncSession]):
    for _ in range(100):  # expect: LAB402
        try:
            async with sessions.begin() as session:
                (await session.get_one(Account, 1)).name = "new"
            return
        except DBAPIError:
            continue


async def yields_only(sessions: async_sessionmaker[AsyncSession]):
    while True:  # expect: LAB401, LAB402
        try:
            async with sessions.begin() as session:
                (await session.get_one(Account, 1)).name = "new"
            return
        except DBAPIError:
            await asyncio.sleep(0)


def constant(sessions: "sessionmaker[Session]"):
    for _ in range(5):
        try:
            with sessions.begin() as session:
                session.get_one(Account, 1).name = "new"
            return
        except OperationalError:
            time.sleep(0.5)  # expect: LAB403


async def exponential(session: AsyncSession):
    delay = 0.1
    for attempt in range(5):
        try:
            (await session.get_one(Account, 1)).name = "new"
            await session.commit()
            return
        except OperationalError:
            await session.rollback()
            await asyncio.sleep(min(delay * 2**attempt, 5))  # expect: LAB403


async def hopeless(session: AsyncSession, order):
    for attempt in range(5):  # expect: LAB404
        try:
            session.add(order)
            await session.commit()
            return
        except IntegrityError:
            await session.rollback()
            await asyncio.sleep(random.uniform(0, 2**attempt))


async def blind(sessions: async_sessionmaker[AsyncSession], work):
    for attempt in range(5):
        try:
            async with sessions.begin() as session:
                return await work(session)
        except Exception:  # expect: LAB405
            await asyncio.sleep(random.uniform(0, 2**attempt))


def bare(session: Session, order, log):
    tries = 0
    while tries < 3:
        try:
            session.add(order)
            session.commit()
            break
        except:  # expect: LAB405
            log.exception("again")
            session.rollback()
            tries += 1
            time.sleep(random.uniform(0, 2**tries))


async def twice(sessions: async_sessionmaker[AsyncSession], amount):
    for attempt in range(5):  # expect: LAB406
        try:
            async with sessions.begin() as session:
                account = await session.get_one(Account, 1)
                account.balance -= amount
            return
        except OperationalError:
            await asyncio.sleep(random.uniform(0, 2**attempt))


def inserted_twice(sessions: "sessionmaker[Session]", values):
    for attempt in range(5):  # expect: LAB406
        try:
            with sessions() as session:
                session.execute(insert(Order).values(**values))
                session.commit()
            return
        except (OperationalError, ConnectionError) as error:
            print(error)
            time.sleep(random.uniform(0, 2**attempt))


async def commits_late(session: AsyncSession):
    for attempt in range(5):
        try:
            await session.execute(select(Account))
            break
        except OperationalError:
            await session.rollback()
            await asyncio.sleep(random.uniform(0, 2**attempt))
    await session.commit()  # expect: LAB411


async def tells_everybody(sessions: async_sessionmaker[AsyncSession], key):
    for attempt in range(5):
        try:
            async with sessions.begin() as session, httpx.AsyncClient() as client:
                (await session.get_one(Account, key)).name = "new"
                await client.post("https://example.org/hook")  # expect: LAB412
                send_email("new name")  # expect: LAB412
            return
        except OperationalError:
            await asyncio.sleep(random.uniform(0, 2**attempt))


def asks(session: Session, key):
    for attempt in range(5):
        try:
            session.get_one(Account, key).name = requests.post("https://example.org/name").text  # expect: LAB412
            session.commit()
            return
        except OperationalError:
            session.rollback()
            time.sleep(random.uniform(0, 2**attempt))
