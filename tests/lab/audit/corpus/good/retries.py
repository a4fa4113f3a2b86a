import asyncio
import itertools
import logging
import random
import secrets
import time

import httpx
import tenacity
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.orm.exc import StaleDataError
from tenacity import retry, retry_if_exception, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from app.models import Account, IdempotencyKey, Order, Page

log = logging.getLogger(__name__)
engine = create_engine("sqlite://")
STATES = {"40001", "40P01"}


async def right(sessions: async_sessionmaker[AsyncSession], work):
    for attempt in range(1, 11):
        try:
            async with sessions() as session:
                answer = await work(session)
                await session.commit()
                return answer
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in STATES or attempt == 10:
                raise
        await asyncio.sleep(random.uniform(0, min(1.0, 0.05 * 2**attempt)))
    raise AssertionError


def with_key(sessions: "sessionmaker[Session]", key, amount):
    for attempt in range(5):
        try:
            with sessions.begin() as session:
                session.add(IdempotencyKey(key=key))
                session.get_one(Account, 1).balance -= amount
            return
        except OperationalError:
            time.sleep(random.uniform(0, 2**attempt))


async def bounded_by_time(sessions: async_sessionmaker[AsyncSession]):
    async with asyncio.timeout(10):
        while True:
            try:
                async with sessions() as session:
                    return await session.scalar(select(Account))
            except OperationalError:
                await asyncio.sleep(random.uniform(0, 0.2))


def counted(sessions: "sessionmaker[Session]"):
    attempt = 0
    while True:
        try:
            with sessions() as session:
                return session.scalar(select(Account))
        except OperationalError:
            attempt += 1
            if attempt > 5:
                raise
            time.sleep(random.random())


def deadline(sessions: "sessionmaker[Session]", until):
    for attempt in itertools.count():
        if time.monotonic() > until:
            raise TimeoutError
        try:
            with sessions() as session:
                return session.scalar(select(Account))
        except OperationalError:
            time.sleep(random.random() * attempt)


def wait_for_database(tries=60):
    for _ in range(tries):
        try:
            with engine.connect() as connection:
                connection.execute(text("SELECT 1"))
                return
        except OperationalError:
            time.sleep(1)
    raise TimeoutError


@retry(stop=stop_after_attempt(300), wait=tenacity.wait_fixed(1))
def init():
    with Session(engine) as session:
        session.execute(select(1))


def new_slug(session: Session):
    for _ in range(5):
        slug = secrets.token_hex(4)
        try:
            with session.begin_nested():
                session.add(Page(slug=slug))
            return slug
        except IntegrityError:
            continue
    raise RuntimeError


def get_or_create(session: Session, name):
    for _ in range(2):
        found = session.scalar(select(Page).where(Page.name == name))
        if found is not None:
            return found
        try:
            with session.begin_nested():
                session.add(Page(name=name))
        except IntegrityError:
            time.sleep(random.random())
    raise RuntimeError


def optimistic(session: Session, key):
    for _ in range(3):
        try:
            session.get_one(Account, key).balance = 5
            session.commit()
            return
        except StaleDataError:
            session.rollback()


@retry(
    retry=retry_if_exception(lambda error: getattr(getattr(error, "orig", None), "sqlstate", None) in STATES),
    stop=stop_after_attempt(5),
    wait=wait_random_exponential(multiplier=0.05, max=1),
)
async def decorated(sessions: async_sessionmaker[AsyncSession], order):
    async with sessions.begin() as session:
        session.add(order)


@retry(
    retry=retry_if_exception_type(OperationalError),
    stop=stop_after_attempt(5),
    wait=tenacity.wait_fixed(0.1) + tenacity.wait_random(0, 1),
)
def reads(session: Session):
    return session.scalars(select(Account)).all()


@retry
def no_database(url):
    return httpx.get(url)


def poll(url):
    while True:
        try:
            return httpx.post(url)
        except Exception:
            time.sleep(1)


def each(sessions: "sessionmaker[Session]", orders):
    for order in orders:
        try:
            with sessions.begin() as session:
                session.add(order)
        except Exception:
            log.exception("order %s", order)


async def worker(sessions: async_sessionmaker[AsyncSession], queue):
    while True:
        order = await queue.get()
        try:
            async with sessions.begin() as session:
                session.add(order)
        except Exception:
            log.exception("order %s", order)


async def sends_after(sessions: async_sessionmaker[AsyncSession], client: httpx.AsyncClient):
    for attempt in range(5):
        try:
            async with sessions.begin() as session:
                account = await session.get_one(Account, 1)
                account.name = "new"
            break
        except OperationalError:
            await asyncio.sleep(random.uniform(0, 2**attempt))
    else:
        raise RuntimeError
    await client.post("https://example.org/hook")


def commits_in_and_after(session: Session, other: Session):
    for attempt in range(5):
        try:
            session.get_one(Account, 1).name = "new"
            session.commit()
            break
        except OperationalError:
            session.rollback()
            time.sleep(random.uniform(0, 2**attempt))
    other.commit()


async def recorded(sessions: async_sessionmaker[AsyncSession], order, problems):
    for attempt in range(3):
        try:
            async with sessions.begin() as session:
                session.add(order)
            return
        except SQLAlchemyError as error:
            if not is_transient(error):
                raise
            await asyncio.sleep(random.uniform(0, 2**attempt))


def is_transient(error):
    return getattr(error.orig, "sqlstate", None) in STATES


def until_free(session: Session, work):
    while True:
        try:
            work(session)
            break
        except Deferred as event:
            event.run()
        session.commit()


class Deferred(Exception):
    pass


def chained(session: Session, filters):
    query = select(Account)
    for one in filters:
        query = query.where(one)
    if filters:
        query = query.order_by(Account.name)
    query = query.limit(5)
    return session.scalars(query).all()
