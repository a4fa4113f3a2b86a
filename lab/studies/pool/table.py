"""The table that the users of all cells write to."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

TABLE: Final = "lab_pool_units"
"""Its name; `make_table` makes it."""

INSERT: Final = text(f"INSERT INTO {TABLE} (cell) VALUES (:cell)")  # noqa: S608 - a constant
"""Adds a row of :cell."""


async def make_table(truth: AsyncEngine) -> None:
    """Make the table anew."""
    for sql in (f"DROP TABLE IF EXISTS {TABLE}", f"CREATE TABLE {TABLE} (cell text NOT NULL)"):
        async with truth.begin() as connection:
            await connection.exec_driver_sql(sql)
