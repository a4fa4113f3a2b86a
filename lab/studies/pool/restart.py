"""One crash and one restart for all the cells that wait for it: of the server, or of the node behind their proxies."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Final, cast

from sqlalchemy.exc import DBAPIError

from faults.node import KillsNodes, killed
from lab.clusters.base import Cluster, CrashesServer
from lab.db.engine import resilient_engine
from lab.errors import Unhealthy
from lab.studies.pool.engines import at
from lab.studies.pool.table import INSERT

PATIENCE: Final = 10.0
"""Seconds within which those who ping have to have met that there is no server."""

TOGETHER: Final = 60.0
"""Seconds until all cells of a restart are ready for it, and it has happened."""

AFTERWARDS: Final = 30.0
"""Seconds within which a node that was started again serves as before."""

SWIFT: Final = 0.5
"""Seconds within which a node that serves as before takes a new client and its transaction."""


class Restart:
    """One crash and one restart of the server for all the cells that wait for it.

    Who was struck during a ping goes on at once: it is back before the server is.
    """

    def __init__(self, cluster: Cluster, cells: int) -> None:
        self._cluster = cluster
        self._left = cells
        self._happened = asyncio.Event()
        self._pinging: list[asyncio.Task[None]] = []

    async def __call__(self, pinging: asyncio.Task[None] | None) -> None:
        """Return when the server was killed and is up again: which it is once every cell has asked for it."""
        self._pinging += [] if pinging is None else [pinging]
        self._left -= 1
        if self._left == 0:
            await self._happen()
            self._happened.set()
        try:
            async with asyncio.timeout(TOGETHER):
                await self._happened.wait()
        except TimeoutError as error:
            raise Unhealthy(f"not every cell was ready for the restart within {TOGETHER:g} s") from error

    async def _happen(self) -> None:
        cluster = self._cluster
        if isinstance(cluster, CrashesServer):
            await cluster.crash_server()
            await self._met_by_those_who_ping()
            await cluster.restart_server()
        else:
            async with killed(cast("KillsNodes", cluster), cluster.node_names[0]):
                await self._met_by_those_who_ping()
            await self._serves_as_before()

    async def _met_by_those_who_ping(self) -> None:
        if self._pinging:
            await asyncio.wait(self._pinging, timeout=PATIENCE)

    async def _serves_as_before(self) -> None:
        """Return when a node that takes queries serves clients as before: at first its leases are elsewhere."""
        direct = self._cluster.direct
        deadline = time.monotonic() + AFTERWARDS
        swift = 0
        while swift < 3:
            began = time.monotonic()
            engine = resilient_engine(at(direct, direct.addresses[0]), application_name="lab-truth", pool_size=1)
            with contextlib.suppress(DBAPIError, OSError):
                async with engine.begin() as connection:
                    await connection.execute(INSERT, {"cell": "restarted"})
            await engine.dispose()
            now = time.monotonic()
            swift = swift + 1 if now - began < SWIFT else 0
            if now > deadline:
                raise Unhealthy(f"the node that was started again does not serve as before within {AFTERWARDS:g} s")
