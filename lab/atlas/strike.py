"""Bringing a cell's fault about, and taking it back: a rule of the wire, or a trouble of another kind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from faults.errors import ControlRefused
from lab.atlas.cells import Cell, Trouble
from lab.atlas.unit import READS, plan_table, read_plan
from lab.clusters.base import Cluster
from lab.db.target import Address, Target
from lab.errors import Unhealthy

QUIET = 10.0
"""Seconds within which the server has to end the sessions of a cell."""

PAUSE = 0.01
"""Seconds between two looks."""

NEWS = 0.2
"""Seconds that the end of an idle connection may take to reach a client that is not asking."""

_ALIVE = text("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE :name")
_KILL = text("SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE :name")


@dataclass(frozen=True, slots=True)
class Scene:
    """Where a cell is measured: its *name*, the application's *engine*, and *truth*, an engine around the proxies."""

    name: str
    cell: Cell
    cluster: Cluster
    engine: AsyncEngine
    truth: AsyncEngine


@contextlib.asynccontextmanager
async def place(cluster: Cluster, cell: Cell, name: str) -> AsyncIterator[Target]:
    """Yield the target of a cell: a gateway of its own for a trouble that would touch every session of a gateway."""
    if cell.fault.trouble not in (Trouble.REFUSED, Trouble.CUT):
        yield _only(cluster.target, cluster.target.addresses[0])
        return
    upstream = str(cluster.direct.addresses[0])
    proxy = await cluster.control.create(name, "127.0.0.1:0", upstream, protocol="postgresql")
    host, _, port = proxy.listen.rpartition(":")
    try:
        yield _only(cluster.target, Address(host, int(port)))
    finally:
        await cluster.control.delete(name)


def _only(target: Target, address: Address) -> Target:
    return Target(target.dialect, (address,), target.user, target.password, target.database, target.tls)


@contextlib.asynccontextmanager
async def struck(scene: Scene) -> AsyncIterator[None]:
    """Have the fault in force in this block."""
    if scene.cell.fault.trouble is not None:
        async with _troubled(scene, scene.cell.fault.trouble):
            yield
        return
    control = scene.cluster.control
    await control.arm(scene.cell.rule(scene.name))
    try:
        yield
    finally:
        with contextlib.suppress(ControlRefused):  # a reset of the whole proxy may have taken it away
            await control.disarm(scene.name)


@contextlib.asynccontextmanager
async def _troubled(scene: Scene, trouble: Trouble) -> AsyncIterator[None]:
    if trouble is Trouble.EXHAUSTED:
        async with scene.engine.connect():
            yield
        return
    await _BRINGING[trouble](scene)
    yield


async def _refuse(scene: Scene) -> None:
    await scene.cluster.control.disable(scene.name)


async def _kill(scene: Scene) -> None:
    async with scene.truth.begin() as connection:
        killed = (await connection.execute(_KILL, {"name": f"{scene.name}-%"})).scalar_one()
    _struck_one(scene, killed)
    await quiet(scene.truth, scene.name)
    await asyncio.sleep(NEWS)


async def _cut(scene: Scene) -> None:
    _struck_one(scene, await scene.cluster.control.reset_connections(scene.name))
    await asyncio.sleep(NEWS)


def _struck_one(scene: Scene, victims: int) -> None:
    if victims != 1:
        raise Unhealthy(f"{scene.cell.name}: {victims} connections were struck instead of 1")


async def _change_schema(scene: Scene) -> None:
    table = plan_table(scene.name)
    async with scene.truth.begin() as connection:
        await connection.exec_driver_sql(f"CREATE TABLE {table} (a integer)")
    async with scene.engine.connect() as connection:
        for _ in range(READS):
            await connection.run_sync(read_plan, scene.name)
    async with scene.truth.begin() as connection:
        await connection.exec_driver_sql(f"ALTER TABLE {table} ADD COLUMN b integer")


_BRINGING = {
    Trouble.REFUSED: _refuse,
    Trouble.KILLED: _kill,
    Trouble.CUT: _cut,
    Trouble.STALE_PLAN: _change_schema,
}


async def quiet(truth: AsyncEngine, name: str) -> None:
    """Return once the server has no session of the cell left: from then on its truth does not change."""
    try:
        async with asyncio.timeout(QUIET):
            while await _alive(truth, name):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(PAUSE)
    except TimeoutError as error:
        raise Unhealthy(f"the server still has sessions of {name} after {QUIET:g} s") from error


async def _alive(truth: AsyncEngine, name: str) -> int:
    async with truth.connect() as connection:
        return int((await connection.execute(_ALIVE, {"name": f"{name}-%"})).scalar_one())
