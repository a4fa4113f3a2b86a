"""The unit of work under observation: one row, in a transaction or by itself, as an application would write it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from lab.atlas.cells import EFFECTS, Cell, Trouble
from lab.db.engine import session_factory
from lab.retry.classify import Phase

INSERT = text(f"INSERT INTO {EFFECTS} (cell) VALUES (:cell)")  # noqa: S608 - a constant

READS = 6
"""Executions after which psycopg, too, keeps a plan (it does from the sixth on)."""


def plan_table(name: str) -> str:
    """Return the table whose schema changes under the plan of the cell *name*."""
    return f"lab_atlas_plan_{name}"


@dataclass(slots=True)
class Unit:
    """One unit: how far it came, and what it met. *effect* is its row, *name* that of the cell's sessions."""

    name: str
    effect: str
    cell: Cell
    phase: Phase = Phase.CONNECT
    connection: Connection | None = None
    error: BaseException | None = None
    invalidated: bool | None = None

    async def run(self, engine: AsyncEngine) -> None:
        """Run on *engine*; keep the error, whatever it is."""
        session = session_factory(engine)()
        try:
            await session.run_sync(self._work)
        except Exception as error:
            self.error = error
            self.invalidated = None if self.connection is None else self.connection.invalidated
        finally:
            with contextlib.suppress(Exception):
                await session.close()

    def _work(self, session: Session) -> None:
        self.connection = session.connection()
        self.phase = Phase.AUTOCOMMIT if self.cell.moment.autocommit else Phase.STATEMENT
        if self.cell.fault.ignored:
            with contextlib.suppress(Exception):
                self._insert(session)
        if self.cell.fault.trouble is Trouble.STALE_PLAN:
            read_plan(self.connection, self.name)
        self._insert(session)
        if not self.cell.moment.autocommit:
            self.phase = Phase.COMMIT
        session.commit()

    def _insert(self, session: Session) -> None:
        session.execute(INSERT, {"cell": self.effect})


def read_plan(connection: Connection, name: str) -> None:
    """Use the plan that will go stale."""
    connection.exec_driver_sql(f"SELECT * FROM {plan_table(name)}").all()  # noqa: S608 - a name of ours
