"""Bringing death to the connections of one cell, and mending what lasts; each cell has a proxy of its own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, cast

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from faults.errors import ControlRefused
from faults.pgwire.rules import Rule, Where
from faults.toxics import Timeout
from lab.clusters.base import Cluster, PausesBackends
from lab.clusters.gateways import address_of
from lab.clusters.postgres import free_port
from lab.db.target import Address
from lab.errors import Unhealthy
from lab.studies.pool.cells import Death, Moment
from lab.studies.pool.engines import POLL, Pooled, heard
from lab.studies.pool.restart import Restart

PATIENCE: Final = 10.0
"""Seconds within which what was asked of a proxy has to have happened."""

_PIDS = text("SELECT pid FROM pg_stat_activity WHERE application_name LIKE :name")
_LOSSES = frozenset({Death.FIN, Death.RST, Death.REFUSED, Death.RESTART})


@dataclass(slots=True)
class Scene:
    """Where a cell is measured: a proxy of its *name* at *address*; *truth* leads around it; *restart* is shared.

    *pinging* is the user that is struck in its ping; *stopped* are processes to be let go.
    """

    name: str
    cluster: Cluster
    truth: AsyncEngine
    restart: Restart
    address: Address
    pinging: asyncio.Task[None] | None = None
    stopped: list[int] = field(default_factory=list)

    async def kill(self, death: Death, pooled: Pooled) -> None:
        """Let every connection of the cell die, and return when that is so on both sides."""
        doomed = tuple(pooled.opened)
        await _KILLERS[death](self)
        if death in _LOSSES:
            await heard(doomed)

    async def mend(self, death: Death) -> None:
        """End what lasts: the path works again, and somebody listens. Stopped processes stay stopped."""
        control = self.cluster.control
        if death is Death.BLACK_HOLE:
            await control.remove(self.name, "up")
            await control.remove(self.name, "down")
        if death is Death.REFUSED:
            await control.enable(self.name)

    async def free(self) -> None:
        """Reset every connection, so that nobody waits for what will never come."""
        await self.cluster.control.reset_connections(self.name)

    @contextlib.asynccontextmanager
    async def held(self, moment: Moment) -> AsyncIterator[Callable[[], Awaitable[None]]]:
        """Hold the next statement of the *moment* back at the proxy; yield how to wait until it is there."""
        control = self.cluster.control
        where = Where(proxy=self.name, statement="COMMIT" if moment is Moment.COMMIT else None)
        await control.arm(Rule(self.name, "request", "hold", where))
        try:
            yield lambda: self._until(self._is_held, "the statement never came to the proxy")
        finally:
            with contextlib.suppress(ControlRefused):
                await control.disarm(self.name)

    async def _is_held(self) -> bool:
        return any(rule.name == self.name and rule.fired for rule in await self.cluster.control.rules())

    async def fin(self) -> None:
        """Close every connection from the middle, in an orderly way."""
        await self.cluster.control.close_connections(self.name)

    async def black_hole(self) -> None:
        """Lose what is sent from now on, both ways."""
        await self.cluster.control.add(self.name, Timeout(0), name="up", stream="upstream")
        await self.cluster.control.add(self.name, Timeout(0), name="down")

    async def refuse(self) -> None:
        """Cut every connection and listen no more."""
        await self.cluster.control.disable(self.name)

    async def stop(self) -> None:
        """Stop the processes behind the cell's sessions."""
        async with self.truth.connect() as connection:
            pids = (await connection.execute(_PIDS, {"name": f"{self.name}%"})).scalars().all()
        for pid in pids:
            await cast("PausesBackends", self.cluster).pause_backend(pid)
            self.stopped.append(pid)

    async def reboot(self) -> None:
        """Take part in the restart."""
        await self.restart(self.pinging)

    async def _until(self, happened: Callable[[], Awaitable[bool]], problem: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not await happened():  # noqa: ASYNC110 - the proxy tells nobody
                    await asyncio.sleep(POLL)
        except TimeoutError as error:
            raise Unhealthy(f"{problem} within {PATIENCE:g} s") from error


_KILLERS: Final[dict[Death, Callable[[Scene], Awaitable[None]]]] = {
    Death.FIN: Scene.fin,
    Death.RST: Scene.free,
    Death.BLACK_HOLE: Scene.black_hole,
    Death.REFUSED: Scene.refuse,
    Death.RESTART: Scene.reboot,
    Death.STOPPED: Scene.stop,
}


@contextlib.asynccontextmanager
async def scene(cluster: Cluster, truth: AsyncEngine, restart: Restart, name: str) -> AsyncIterator[Scene]:
    """Yield a scene with a proxy of its own; everything is undone afterwards."""
    made = Scene(name, cluster, truth, restart, await open_proxy(cluster, name))
    try:
        yield made
    finally:
        if made.stopped:
            await cast("PausesBackends", cluster).resume_backends(made.stopped)
        await cluster.control.delete(name)


async def open_proxy(cluster: Cluster, name: str, number: int = 0) -> Address:
    """Open a proxy in front of the database's *number*-th address (modulo how many there are) and return its own."""
    upstreams = cluster.direct.addresses
    # Not port 0: the kernel could give a client such a port while the proxy is down, and it could not come back.
    while True:
        listen = f"127.0.0.1:{free_port()}"
        try:
            upstream = str(upstreams[number % len(upstreams)])
            made = await cluster.control.create(name, listen, upstream, protocol="postgresql")
        except ControlRefused as error:
            if "in use" not in str(error):
                raise
        else:
            return address_of(made.listen)
