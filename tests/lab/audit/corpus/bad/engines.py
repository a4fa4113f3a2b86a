import os

import sqlalchemy as sa
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.settings import settings

HOST = os.environ["HOST"]
ADDRESS = f"postgresql+asyncpg://app@{HOST}/shop"

plain = create_async_engine("postgresql+asyncpg://app@db/shop")  # expect: LAB301, LAB302
named = create_async_engine(ADDRESS, pool_pre_ping=True)  # expect: LAB302
switched_off = sa.create_engine("mysql+pymysql://db/shop?connect_timeout=3", pool_pre_ping=False)  # expect: LAB301
made = create_engine(URL.create("cockroachdb+psycopg", host=HOST), connect_args={"connect_timeout": 3})  # expect: LAB301
parsed = create_engine(make_url("postgresql://db/shop"), connect_args={"sslmode": "require"})  # expect: LAB301, LAB302
pooled = create_async_engine(settings.url, pool_size=20, max_overflow=10)  # expect: LAB301, LAB302
unpooled = create_engine("postgresql+psycopg://db/shop", poolclass=NullPool)  # expect: LAB302
added = create_engine("postgresql://" + HOST, pool_pre_ping=True)  # expect: LAB302


@event.listens_for(made, "do_execute")
def retry_statements(cursor, statement, parameters, context):  # expect: LAB303
    for _ in range(3):
        try:
            cursor.execute(statement, parameters)
            return True
        except Exception:
            continue


@sa.event.listens_for(made, "do_execute")
def again(cursor, statement, parameters, context):  # expect: LAB303
    try:
        cursor.execute(statement, parameters)
    except Exception:
        cursor.execute(statement, parameters)
    return True


def on_error(context):  # expect: LAB303
    context.cursor.execute(context.statement, context.parameters)


event.listen(made, "handle_error", on_error)
