"""Measuring the matrix: four users of a pool of three, one after the other, and a fault that strikes the first."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import Connection

from lab.cleanup import to_its_end, together
from lab.clusters.base import Cluster
from lab.db.engine import resilient_engine
from lab.errors import Unhealthy
from lab.studies.pool.cells import Cell, Death, Moment
from lab.studies.pool.engines import POLL, Pooled, at, waits_of
from lab.studies.pool.facts import Facts, Measured, PoolState, told
from lab.studies.pool.restart import Restart
from lab.studies.pool.strike import PATIENCE, Scene, scene
from lab.studies.pool.table import INSERT, make_table

USERS: Final = 4
"""Users of a pool: the one that is struck, and one more than would be needed to meet every connection of the pool."""

ENDLESS: Final = 3.0
"""Seconds after which an engine that states no bound is said to hang."""

SLACK: Final = 2.0
"""Seconds that a busy machine may add to a stated bound."""

LONGEST: Final = 90.0
"""Seconds that a cell may take, waiting for the others of a restart included."""

AT_ONCE: Final = 12
"""Cells measured at the same time."""


async def measure_cells(
    cluster: Cluster, cells: Sequence[Cell], *, tell: Callable[[Cell], object] = lambda _cell: None
) -> tuple[Measured, ...]:
    """Measure *cells* on a started cluster, and *tell* of each; restarts come last, all cells in one."""
    truth = resilient_engine(cluster.direct, application_name="lab-truth", pool_size=AT_ONCE, pool_timeout=60)
    alone = [cell for cell in cells if cell.death is Death.RESTART]
    restart = Restart(cluster, len(alone))
    places = asyncio.Semaphore(AT_ONCE)

    async def one(number: int, cell: Cell) -> Measured:
        # A restart needs all its cells at once.
        async with contextlib.nullcontext() if cell.death is Death.RESTART else places:
            async with scene(cluster, truth, restart, f"pool{number:03}") as here:
                measured = await measure_cell(here, cell)
            tell(cell)
            return measured

    numbers = {cell: number for number, cell in enumerate(cells)}
    found: dict[Cell, Measured] = {}
    try:
        await make_table(truth)
        for part in ([cell for cell in cells if cell.death is not Death.RESTART], alone):
            async with together() as group:
                tasks = [group.create_task(one(numbers[cell], cell)) for cell in part]
            found |= {task.result().cell: task.result() for task in tasks}
    finally:
        await truth.dispose()
    return tuple(found[cell] for cell in cells)


async def measure_cell(here: Scene, cell: Cell) -> Measured:
    """Fill a pool, let its connections die at the cell's moment, and see what four users meet."""
    pooled = Pooled(at(here.cluster.target, here.address), cell.client, cell.setting, here.name)
    try:
        async with asyncio.timeout(LONGEST):
            await pooled.fill()
            return await _Trial(here, cell, pooled).run()
    except TimeoutError as error:
        raise Unhealthy(f"{cell.name}: not measured within {LONGEST:g} s") from error
    finally:
        await to_its_end(_let_go(here, pooled))


async def _let_go(here: Scene, pooled: Pooled) -> None:
    # Some close politely, which in a black hole has no end.
    await here.free()
    await pooled.dispose()


class _Trial:
    """The users of one cell, and what they met."""

    def __init__(self, here: Scene, cell: Cell, pooled: Pooled) -> None:
        self._here = here
        self._cell = cell
        self._pooled = pooled
        waits = waits_of(cell.client, cell.setting)
        self._bound = None if waits is None else waits.unit
        self._errors: list[str] = []
        self._seconds: list[float] = []
        self._struck: float | None = None
        self._over = False

    async def run(self) -> Measured:
        """Measure."""
        before = len(self._pooled.opened)
        hangs, works, state = await self._first(), False, None
        if hangs:
            state = await self._given_up()
        else:
            await self._here.mend(self._cell.death)
            for _ in range(USERS - 1):
                works = await self._works()
        opened = len(self._pooled.opened) - before
        facts = Facts(tuple(self._errors), hangs, opened, state or self._pooled.state(), works)
        return Measured(self._cell, facts, tuple(self._seconds), self._bound)

    async def _works(self) -> bool:
        if self._over:
            return False
        errors, self._struck = len(self._errors), time.monotonic()
        if await self._hangs(asyncio.create_task(self._user(self._unit))):
            self._errors.append("no answer")
            await self._given_up()
        return len(self._errors) == errors

    async def _first(self) -> bool:
        cell, here = self._cell, self._here
        if cell.moment is Moment.IDLE:
            await self._strike()
            return await self._hangs(asyncio.create_task(self._user(self._unit)))
        if cell.moment is Moment.TRANSACTION:
            return await self._hangs(asyncio.create_task(self._user(self._struck_unit)))
        async with here.held(cell.moment) as is_held:
            user = asyncio.create_task(self._user(self._unit))
            here.pinging = user if cell.moment is Moment.PING else None
            try:
                await is_held()
                await self._strike()
            except BaseException:
                user.cancel()
                raise
        return await self._hangs(user)

    async def _strike(self) -> None:
        await self._here.kill(self._cell.death, self._pooled)
        self._struck = time.monotonic()

    def _unit(self, connection: Connection) -> None:
        connection.execute(INSERT, {"cell": self._here.name})
        connection.commit()

    def _struck_unit(self, connection: Connection) -> None:
        connection.execute(INSERT, {"cell": self._here.name})
        self._pooled.here(self._strike)
        self._unit(connection)

    async def _user(self, work: Callable[[Connection], None]) -> None:
        try:
            await self._pooled.use(work)
        except Unhealthy:
            raise
        except Exception as error:
            if not self._over:
                self._errors.append(told(error))
        if self._struck is not None and not self._over:
            self._seconds.append(round(time.monotonic() - self._struck, 3))

    async def _hangs(self, user: asyncio.Task[None]) -> bool:
        """Wait for *user* until its time is over, which counts from the fault."""
        self._waiting = user
        patience = ENDLESS if self._bound is None else self._bound + SLACK
        while not user.done():
            left = patience if self._struck is None else self._struck + patience - time.monotonic()
            if left <= 0:
                self._seconds.append(patience)
                return True
            await asyncio.wait([user], timeout=left)
        user.result()
        return False

    async def _given_up(self) -> PoolState:
        """Free the user that hangs; return what the pool looked like meanwhile."""
        self._over = True
        state = self._pooled.state()
        await self._here.mend(self._cell.death)
        deadline = time.monotonic() + PATIENCE * 2
        while not self._waiting.done():
            if time.monotonic() > deadline:
                self._waiting.cancel()
                raise Unhealthy(f"{self._cell.name}: the user still hangs when its connection was reset")
            await self._here.free()
            await asyncio.wait([self._waiting], timeout=POLL * 10)
        return state
