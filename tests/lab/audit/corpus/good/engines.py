import os

from sqlalchemy import URL, create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.settings import OPTIONS, settings

memory = create_engine("sqlite://")
file = create_async_engine("sqlite+aiosqlite:///app.db")
tested = create_engine(os.environ.get("TEST_URL", "sqlite://"))
unknown = create_engine(settings.url)
spread = create_engine("postgresql://db/shop", **OPTIONS)
careful = create_async_engine(
    "postgresql+asyncpg://db/shop",
    pool_pre_ping=True,
    pool_recycle=300,
    connect_args={"timeout": 2, "command_timeout": 5},
)
in_the_url = create_engine("postgresql+psycopg://db/shop?connect_timeout=3", pool_pre_ping=True)
made = create_engine(URL.create("postgresql+psycopg", host="db", query={"connect_timeout": "3"}), poolclass=NullPool)
own = create_async_engine("postgresql+asyncpg://", async_creator=settings.connect)
arguments = create_engine("mysql://db/shop", pool_pre_ping=settings.ping, connect_args=settings.arguments)
dialect_only = create_engine("postgresql://", strategy="mock", executor=print)


@event.listens_for(careful.sync_engine, "do_execute")
def counted(cursor, statement, parameters, context):
    cursor.execute(statement, parameters)
    return True


@event.listens_for(careful.sync_engine, "handle_error")
def told(context):
    print(context.original_exception)
