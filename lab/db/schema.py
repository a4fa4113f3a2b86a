"""Create and drop tables; both may be repeated."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.db.models import Base


async def create_tables(engine: AsyncEngine, tables: Sequence[Table] | None = None) -> None:
    """Create those of *tables* (default: all known models) that are missing, in one transaction."""
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all, tables=tables)


async def drop_tables(engine: AsyncEngine, tables: Sequence[Table] | None = None) -> None:
    """Drop those of *tables* (default: all known models) that exist, in one transaction.

    Kept apart from `create_tables` on purpose: old CockroachDB versions refuse DROP and CREATE of one table in the same
    transaction (42P07).
    """
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all, tables=tables)


def table_of(model: type[Base]) -> Table:
    """Return the table of *model*, typed as one."""
    table = model.__table__
    if not isinstance(table, Table):
        raise TypeError(f"{model.__name__} is not mapped to a plain table")
    return table
