"""A real PostgreSQL at SERIALIZABLE behind three gateways: everything about the client side, in seconds, on any laptop.

It is one server: what only several nodes can show (leases, replicas, partitions) is beyond it, and reports say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import psutil

from faults.client import ControlClient
from lab.cleanup import all_of
from lab.clusters._sessions import lose_gateway
from lab.clusters.base import ON_THE_WAY, Capability, Node
from lab.clusters.gateways import PROBE_TIMEOUT, Gateways
from lab.clusters.postgres import Binaries, PostgresServer, find_binaries
from lab.clusters.toxiproxy_hop import ToxiproxyHop
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem, Unhealthy
from lab.state import RunFolder

GATEWAYS = ("n1", "n2", "n3")

LEAST_FREE = 1_048_576
"""Bytes of disk without which a server fails its clients, and nothing can be said of them."""


class EmbeddedCluster:
    """One PostgreSQL server and one proxy process in a run folder, which owns both.

    *seed* decides every draw of the proxies. *detached*: the processes outlive their owner (``lab up``). *toxiproxy*: a
    real one to lead through, as `toxiproxy_hop` takes it.
    """

    name = "embedded"
    capabilities = ON_THE_WAY | {Capability.SERVER_CRASH, Capability.BACKEND_PAUSE}
    places: Final[Mapping[str, str]] = MappingProxyType({})
    node_names: Final = GATEWAYS
    starts_within: Final = 60.0
    heals_within: Final = 15.0

    def __init__(
        self,
        run: RunFolder,
        *,
        seed: int = 0,
        binaries: Binaries | None = None,
        detached: bool = False,
        toxiproxy: object = None,
    ) -> None:
        self._run = run
        self._binaries = binaries or find_binaries()
        self._server = PostgresServer(run.path / "server", self._binaries, run.environment())
        hop = None if toxiproxy is None else ToxiproxyHop(toxiproxy, run.path, run.environment())
        self._gateways = Gateways(run.path / "proxy.log", run.environment(), seed=seed, detached=detached, hop=hop)
        self._created = False
        self._crashed = False
        self._paused: dict[int, psutil.Process] = {}

    @property
    def about(self) -> str:
        """What it is made of."""
        version = ".".join(map(str, self._binaries.version))
        made_of = f"PostgreSQL {version} ({self._binaries.origin}), one server behind {len(GATEWAYS)} gateways"
        return made_of + self._gateways.about

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The gateways n1, n2, n3."""
        return self._gateways.nodes

    @property
    def target(self) -> Target:
        """The server through its gateways."""
        return self._target(tuple(node.address for node in self.nodes))

    @property
    def direct(self) -> Target:
        """The server itself."""
        return self._target((self._direct_address,))

    @property
    def _direct_address(self) -> Address:
        return Address(self._server.host, self._server.port)

    def _target(self, addresses: tuple[Address, ...]) -> Target:
        server = self._server
        return Target("postgresql", addresses, server.user, server.password, server.database)

    @property
    def control(self) -> ControlClient:
        """The control API of the gateways."""
        return self._gateways.control

    async def start(self, within: float) -> None:
        """Make and start the server and the gateways; EnvironmentProblem says what this machine lacks.

        Nothing if they run. After `stop` they come up again with their data, the gateways at new addresses.
        """
        if self.nodes:
            return
        try:
            async with asyncio.timeout(within):
                await all_of(self._start_server(within), self._gateways.start(within))
                for name in GATEWAYS:
                    await self._gateways.open(name, self._direct_address)
        except TimeoutError as error:
            problem = f"the embedded cluster was not up within {within:g} s"
            raise EnvironmentProblem(problem, "try on a less busy machine") from error

    async def _start_server(self, within: float) -> None:
        if not self._created:
            await asyncio.to_thread(shutil.rmtree, self._server.folder, ignore_errors=True)  # of a start that failed
            await self._server.create(within)
            self._created = True
        await self._server.start(within)

    async def stop(self, within: float) -> None:
        """End the gateways and the server, each also if the other cannot be ended."""
        await self.resume_backends(tuple(self._paused))
        try:
            await self._gateways.stop(within)
        finally:
            await self._server.stop(within)

    async def leave_running(self) -> None:
        """Let go of the processes without ending them."""
        await self._gateways.leave_running()

    async def heal(self, within: float) -> None:
        """Start the server if it is down; enable all gateways and take every toxic away.

        Raises Unhealthy if that is not possible, and once, when all is well again, if the server was down by itself:
        what happened since then was not in anybody's plan.
        """
        by_itself = self._created and not self._crashed and not self._server.running
        last_words = self._server.last_words() if by_itself else ""
        await self.resume_backends(tuple(self._paused))
        try:
            async with asyncio.timeout(within):
                if not self._server.running:
                    await self._server.start(within)
                self._crashed = False
                await self._gateways.heal()
        except TimeoutError as error:
            raise Unhealthy(f"not everything was healed within {within:g} s") from error
        if by_itself:
            raise Unhealthy(f"the database server ended, and no fault of the plan did that: {last_words}")

    async def healthy(self, within: float) -> None:
        """Return once each gateway has let a query through; EnvironmentProblem if the disk is full."""
        self._gateways.require_started()
        if shutil.disk_usage(self._run.path).free < LEAST_FREE:
            raise EnvironmentProblem(
                f"the disk of {self._run.path} is full", "free space or set LAB_STATE_DIR to another disk"
            )
        await self._gateways.healthy(self.target, within)

    async def lose_gateway(self, node: str) -> None:
        """Disable the gateway and end the sessions that ran through it, as when a node is gone."""
        await lose_gateway(self.control, node, list(GATEWAYS), self.direct, self._direct_address)

    async def return_gateway(self, node: str) -> None:
        """Let the gateway listen again."""
        await self.control.enable(node)

    async def crash_server(self) -> int:
        """Kill the server and all its backends."""
        pid = self._server.pid
        victims = 1 + len(psutil.Process(pid).children(recursive=True)) if pid is not None else 0
        self._crashed = self._crashed or pid is not None
        await self._server.crash(PROBE_TIMEOUT * 10)
        return victims

    async def restart_server(self) -> None:
        """Start the server again; it recovers what was acknowledged."""
        await self._server.start(PROBE_TIMEOUT * 30)
        self._crashed = False

    async def pause_backend(self, pid: int) -> None:
        """Stop a child of the server; its session hears no more, and its connections stay open."""
        server = self._server.pid
        try:
            backend = psutil.Process(pid)
            ours = server is not None and backend.ppid() == server
        except psutil.NoSuchProcess:
            ours = False
        if not ours:
            raise Unhealthy(f"process {pid} is none of the database server's")
        self._paused[pid] = backend
        backend.suspend()

    async def resume_backends(self, pids: Iterable[int]) -> None:
        """Let stopped backends go on."""
        for backend in [self._paused.pop(pid) for pid in set(pids) & set(self._paused)]:
            # psutil refuses to signal another process that has been given the number since.
            with contextlib.suppress(psutil.NoSuchProcess):
                backend.resume()
