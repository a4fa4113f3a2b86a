"""The table in a database, and every statement as an expression of SQLAlchemy."""

from __future__ import annotations

from typing import Final, TypeAlias

from sqlalchemy import ColumnElement, Delete, Insert, Select, Update, delete, insert, select, true, update
from sqlalchemy.orm import Mapped, mapped_column

from lab.db.models import Base
from lab.db.schema import table_of
from lab.interleave import steps


class Pair(Base):
    """A row of Hermitage's table."""

    __tablename__ = "test"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    value: Mapped[int]


TABLES: Final = (table_of(Pair),)

Sql: TypeAlias = Select[tuple[int, int]] | Update | Delete | Insert


def statement_of(action: steps.Statement) -> Sql:
    """Return the statement that does *action*; rows come in order of their ids."""
    match action:
        case steps.Read(rows):
            return select(Pair.id, Pair.value).where(_clause(rows)).order_by(Pair.id)
        case steps.Write(rows, value, added):
            changed = update(Pair).where(_clause(rows)).values(value=Pair.value + value if added else value)
            return changed.execution_options(synchronize_session=False)
        case steps.Delete(rows):
            return delete(Pair).where(_clause(rows)).execution_options(synchronize_session=False)
        case steps.Insert((number, value)):
            return insert(Pair).values(id=number, value=value)


def _clause(rows: steps.Selection) -> ColumnElement[bool]:
    match rows.by:
        case "all":
            return true()
        case "id":
            return Pair.id == rows.number
        case "value":
            return Pair.value == rows.number
        case "multiple":
            return Pair.value % rows.number == 0
