from sqlalchemy import create_engine, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from app.models import Account

STRICT = {"isolation_level": "SERIALIZABLE"}


async def balance(session: AsyncSession):
    return await session.scalar(  # expect: LAB213
        select(Account.balance),
        execution_options={"isolation_level": "SERIALIZABLE"},
    )


async def rows(session: AsyncSession):
    result = await session.execute(select(Account), execution_options=STRICT)  # expect: LAB213
    return result.all()


def streamed(session: Session):
    return session.scalars(select(Account), execution_options=dict(isolation_level="SERIALIZABLE"))  # expect: LAB213


def connected():
    with create_engine("sqlite://").connect() as connection:
        return connection.execute(select(Account), execution_options=STRICT)  # expect: LAB213
