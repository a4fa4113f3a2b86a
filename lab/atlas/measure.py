"""The measuring: one fault for one statement of one session, and the truth from the database and the proxy's record."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from faults.client import FiringInfo
from lab.atlas.cells import EFFECTS, Cell, Moment
from lab.atlas.strike import Scene, place, quiet, struck
from lab.atlas.unit import Unit
from lab.atlas.view import Measured, decision_of
from lab.cleanup import together
from lab.clusters.base import Cluster
from lab.db.engine import resilient_engine
from lab.db.errors import ConnectTimedOut
from lab.db.target import Target
from lab.errors import Unhealthy
from lab.retry.view import view_of

AT_ONCE = 12
"""Cells measured at the same time; more would make a busy machine answer later than the bound."""

PATIENCE = 1.0
"""Seconds of command_timeout and connect_timeout: what a black hole costs, and what a slow machine may take."""

WARM_UPS = 3
"""Times that a unit is tried without a fault while no connection comes about in time: a busy machine needs longer."""

POOL_PATIENCE = 0.2
"""Seconds of pool_timeout."""

_COUNT = text(f"SELECT count(*) FROM {EFFECTS} WHERE cell = :cell")  # noqa: S608 - a constant


async def measure(
    cluster: Cluster, cells: Sequence[Cell], *, tell: Callable[[], object] = lambda: None
) -> tuple[Measured, ...]:
    """Measure *cells* on a started cluster, several at a time; *tell* is called after each.

    Sessions are told apart by their application_name, so that no cell meets another one's fault.
    """
    truth = resilient_engine(cluster.direct, application_name="lab-truth", pool_size=AT_ONCE, pool_timeout=60)
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, cell: Cell) -> Measured:
        async with places:
            measured = await _measure(cluster, truth, f"atlas{number}", cell)
            tell()
            return measured

    try:
        async with truth.begin() as connection:
            await connection.exec_driver_sql(f"DROP TABLE IF EXISTS {EFFECTS}")
            await connection.exec_driver_sql(f"CREATE TABLE {EFFECTS} (cell text NOT NULL)")
        async with together() as group:
            tasks = [group.create_task(one(number, cell)) for number, cell in enumerate(cells)]
        return tuple(task.result() for task in tasks)
    finally:
        await truth.dispose()


async def _measure(cluster: Cluster, truth: AsyncEngine, name: str, cell: Cell) -> Measured:
    unit = Unit(name, name, cell)
    async with place(cluster, cell, name) as target:
        engine = _engine(target, cell, name)
        try:
            if cell.moment not in (Moment.CONNECT, Moment.POOL):
                await _warm_up(engine, cell, name)
            async with struck(Scene(name, cell, cluster, engine, truth)):
                await unit.run(engine)
        finally:
            await engine.dispose()
    await quiet(truth, name)
    async with truth.connect() as connection:
        applied = int((await connection.execute(_COUNT, {"cell": name})).scalar_one())
    firings = [firing for firing in await cluster.control.firings() if firing.rule == name]
    return _row(unit, applied, firings)


def _engine(target: Target, cell: Cell, name: str) -> AsyncEngine:
    return resilient_engine(
        target,
        driver=cell.driver,
        application_name=name,
        isolation_level="AUTOCOMMIT" if cell.moment.autocommit else "SERIALIZABLE",
        pool_size=1,
        pool_timeout=POOL_PATIENCE,
        pool_pre_ping=cell.moment is Moment.PING,
        ping_timeout=None,  # what the drivers tell is what the atlas is about
        connect_timeout=PATIENCE,
        command_timeout=PATIENCE,
        statement_timeout=None,
        idle_in_transaction_timeout=None,
    )


async def _warm_up(engine: AsyncEngine, cell: Cell, name: str) -> None:
    plain = Cell(type(cell.fault)("none"), cell.moment, cell.driver)
    for _ in range(WARM_UPS):
        unit = Unit(name, f"{name} warm", plain)
        await unit.run(engine)
        if unit.error is None:
            return
        if not isinstance(unit.error, ConnectTimedOut):
            break
    raise Unhealthy(f"{cell.name}: the same without a fault fails: {unit.error}") from unit.error


def _row(unit: Unit, applied: int, firings: list[FiringInfo]) -> Measured:
    ruled = unit.cell.fault.trouble is None
    last = firings[-1] if firings else None
    return Measured(
        cell=unit.cell,
        fired=not ruled or len(firings) == 1,
        view=None if unit.error is None else view_of(unit.error),
        phase=unit.phase,
        invalidated=unit.invalidated,
        applied=applied,
        decision=decision_of(unit.error, unit.phase),
        forwarded=last.forwarded if last else None,
        answer=last.answer if last else None,
    )
