import smtplib

import backoff
import stamina
import tenacity
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from tenacity import (
    AsyncRetrying,
    Retrying,
    retry,
    retry_if_exception_type,
    stop_after_attempt,
    stop_never,
    wait_exponential,
    wait_fixed,
    wait_random_exponential,
)

from app.models import Account
from app.tasks import notify

import celery

JITTER = wait_random_exponential(multiplier=0.01, max=1)
TRANSIENT = retry_if_exception_type(OperationalError)


@retry  # expect: LAB401, LAB402
def bare(session: Session):
    session.get_one(Account, 1).name = "new"
    session.commit()


@tenacity.retry(retry=TRANSIENT, wait=JITTER)  # expect: LAB401
async def never_ends(session: AsyncSession):
    (await session.get_one(Account, 1)).name = "new"
    await session.commit()


@retry(retry=TRANSIENT, wait=JITTER, stop=stop_never)  # expect: LAB401
async def stop_is_never(session: AsyncSession):
    (await session.get_one(Account, 1)).name = "new"
    await session.commit()


@retry(retry=TRANSIENT, stop=stop_after_attempt(5))  # expect: LAB402
async def never_waits(session: AsyncSession):
    (await session.get_one(Account, 1)).name = "new"
    await session.commit()


@retry(retry=TRANSIENT, stop=stop_after_attempt(5), wait=wait_fixed(1))  # expect: LAB403
async def in_step(session: AsyncSession):
    (await session.get_one(Account, 1)).name = "new"
    await session.commit()


@retry(retry=TRANSIENT, stop=stop_after_attempt(5), wait=wait_exponential(max=5))  # expect: LAB403
async def in_growing_step(sessions: async_sessionmaker[AsyncSession]):
    async with sessions.begin() as session:
        (await session.get_one(Account, 1)).name = "new"


@retry(retry=retry_if_exception_type((OperationalError, IntegrityError)), stop=stop_after_attempt(5), wait=JITTER)  # expect: LAB404, LAB406
def violates(session: Session, order):
    session.add(order)
    session.commit()


@retry(stop=stop_after_attempt(5), wait=JITTER)  # expect: LAB405
def everything(session: Session, order):
    session.add(order)
    session.commit()


@backoff.on_exception(backoff.expo, OperationalError, jitter=None)  # expect: LAB401, LAB403
def backs_off(session: Session):
    session.get_one(Account, 1).name = "new"
    session.commit()


@stamina.retry(on=OperationalError, attempts=None, timeout=None)  # expect: LAB401
async def stays(session: AsyncSession):
    (await session.get_one(Account, 1)).name = "new"
    await session.commit()


@stamina.retry(on=Exception)  # expect: LAB405
async def whatever(session: AsyncSession, order):
    session.add(order)
    await session.commit()


async def commits_late(session: AsyncSession):
    async for attempt in AsyncRetrying(retry=TRANSIENT, stop=stop_after_attempt(5), wait=JITTER):
        with attempt:
            await session.execute(select(Account))
    await session.commit()  # expect: LAB411


def mails(sessions: sessionmaker[Session], message):
    for attempt in Retrying(retry=TRANSIENT, stop=stop_after_attempt(5), wait=JITTER):
        with attempt, sessions.begin() as session, smtplib.SMTP("localhost") as server:
            session.get_one(Account, 1).name = "new"
            server.send_message(message)  # expect: LAB412
            notify.delay(1)  # expect: LAB412
