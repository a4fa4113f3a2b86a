"""A real PostgreSQL at SERIALIZABLE behind three gateways: everything about the client side, in seconds, on any laptop.

It is one server: what only several nodes can show (leases, replicas, partitions) is beyond it, and reports say so.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import psutil

from faults.client import ControlClient
from faults.errors import ControlRefused, FaultError
from lab.cleanup import all_of
from lab.clusters.base import Capability, Node
from lab.clusters.postgres import Binaries, PostgresServer, find_binaries, free_port
from lab.clusters.proxy_process import ProxyProcess
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem, Unhealthy
from lab.state import RunFolder

GATEWAYS = ("n1", "n2", "n3")

PROBE_TIMEOUT = 1.0
"""Seconds for one connection attempt of a health probe."""

PROBE_PAUSE = 0.02
"""Seconds between two probes of a node that did not answer."""

LEAST_FREE = 1_048_576
"""Bytes of disk without which a server fails its clients, and nothing can be said of them."""

ADMIN = "lab-admin"
"""application_name of the lab's own sessions."""

ADMIN_TIMEOUT = 10.0
"""Seconds that ending the sessions of a lost gateway may take, the server being up."""

SESSIONS = "SELECT pid, client_port FROM pg_stat_activity WHERE client_port = ANY($1::int[])"


class EmbeddedCluster:
    """One PostgreSQL server and one proxy process in a run folder, which owns both.

    *seed* decides every draw of the proxies. *detached*: the processes outlive their owner (``lab up``).
    """

    name = "embedded"
    capabilities = frozenset(Capability)

    def __init__(
        self, run: RunFolder, *, seed: int = 0, binaries: Binaries | None = None, detached: bool = False
    ) -> None:
        self._run = run
        self._binaries = binaries or find_binaries()
        self._server = PostgresServer(run.path / "server", self._binaries, run.environment())
        self._proxy = ProxyProcess(run.path / "proxy.log", run.environment(), seed=seed, detached=detached)
        self._control: ControlClient | None = None
        self._nodes: tuple[Node, ...] = ()
        self._created = False
        self._crashed = False

    @property
    def about(self) -> str:
        """What it is made of."""
        version = ".".join(map(str, self._binaries.version))
        return f"PostgreSQL {version} ({self._binaries.origin}), one server behind {len(GATEWAYS)} gateways"

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The gateways n1, n2, n3."""
        return self._nodes

    @property
    def target(self) -> Target:
        """The server through its gateways."""
        return self._target(tuple(node.address for node in self._nodes))

    @property
    def direct(self) -> Target:
        """The server itself."""
        return self._target((Address(self._server.host, self._server.port),))

    def _target(self, addresses: tuple[Address, ...]) -> Target:
        server = self._server
        return Target("postgresql", addresses, server.user, server.password, server.database)

    @property
    def control(self) -> ControlClient:
        """The control API of the gateways."""
        if self._control is None:
            raise RuntimeError("the cluster has no control API before it was started")
        return self._control

    async def start(self, within: float) -> None:
        """Make and start the server and the gateways; EnvironmentProblem says what this machine lacks.

        Nothing if they run. After `stop` they come up again with their data, the gateways at new addresses.
        """
        if self._nodes:
            return
        try:
            async with asyncio.timeout(within):
                await all_of(self._start_server(within), self._proxy.start(within))
                self._control = ControlClient(self._proxy.url)
                self._nodes = tuple([await self._open_gateway(name) for name in GATEWAYS])
        except TimeoutError as error:
            problem = f"the embedded cluster was not up within {within:g} s"
            raise EnvironmentProblem(problem, "try on a less busy machine") from error

    async def _open_gateway(self, name: str) -> Node:
        # Not port 0: the kernel could give a client such a port while the gateway is down, and it could not come back.
        while True:
            listen = f"127.0.0.1:{free_port()}"
            try:
                upstream = f"{self._server.host}:{self._server.port}"
                proxy = await self.control.create(name, listen, upstream, protocol="postgresql")
            except ControlRefused as error:
                if "in use" not in str(error):
                    raise
            else:
                return Node(name, _address(proxy.listen))

    async def _start_server(self, within: float) -> None:
        if not self._created:
            await asyncio.to_thread(shutil.rmtree, self._server.folder, ignore_errors=True)  # of a start that failed
            await self._server.create(within)
            self._created = True
        await self._server.start(within)

    async def stop(self, within: float) -> None:
        """End the gateways and the server, each also if the other cannot be ended."""
        control, self._control, self._nodes = self._control, None, ()
        try:
            if control is not None:
                await control.close()
            await self._proxy.stop(within)
        finally:
            await self._server.stop(within)

    async def leave_running(self) -> None:
        """Let go of the processes without ending them."""
        if self._control is not None:
            await self._control.close()

    async def heal(self, within: float) -> None:
        """Start the server if it is down; enable all gateways and take every toxic away.

        Raises Unhealthy if that is not possible, and once, when all is well again, if the server was down by itself:
        what happened since then was not in anybody's plan.
        """
        by_itself = self._created and not self._crashed and not self._server.running
        last_words = self._server.last_words() if by_itself else ""
        try:
            async with asyncio.timeout(within):
                if not self._server.running:
                    await self._server.start(within)
                self._crashed = False
                await self.control.reset()
        except TimeoutError as error:
            raise Unhealthy(f"not everything was healed within {within:g} s") from error
        except FaultError as error:
            raise Unhealthy(self._proxy.trouble() or f"the fault proxy cannot be healed: {error}") from error
        if by_itself:
            raise Unhealthy(f"the database server ended, and no fault of the plan did that: {last_words}")

    async def healthy(self, within: float) -> None:
        """Return once each gateway has let a query through; EnvironmentProblem if the disk is full."""
        if not self._nodes:
            raise Unhealthy("no node is healthy: the cluster was not started")
        if shutil.disk_usage(self._run.path).free < LEAST_FREE:
            raise EnvironmentProblem(
                f"the disk of {self._run.path} is full", "free space or set LAB_STATE_DIR to another disk"
            )
        await all_of(*(self._answers(node, within) for node in self._nodes))

    async def _answers(self, node: Node, within: float) -> None:
        problem: BaseException | None = None
        try:
            async with asyncio.timeout(within):
                while True:
                    try:
                        async with self._session(node.address) as session:
                            await session.fetchval("SELECT 1")
                            return
                    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                        problem = error
                    await asyncio.sleep(PROBE_PAUSE)
        except TimeoutError as error:
            last = f"{type(problem).__name__}: {problem}".removesuffix(": ") if problem else "no answer"
            raise Unhealthy(f"node {node.name} is not healthy after {within:g} s: {last}") from error

    async def lose_gateway(self, node: str) -> None:
        """Disable the gateway and end the sessions that ran through it, as when a node is gone."""
        ports = await self._ports(node)
        await self.control.disable(node)
        # A server that is down has no sessions. One that came through between these two calls is in its log-in, and
        # ends by itself: it has no transaction yet that could make it wait for anything but its client.
        with contextlib.suppress(ConnectionError, asyncpg.CannotConnectNowError):
            async with self._session(self.direct.addresses[0], ADMIN_TIMEOUT) as admin:
                sessions = await admin.fetch(SESSIONS, list(ports))
                # Another gateway may have been given a port that was free again; hence the order of these two.
                alive = {port for name in GATEWAYS for port in await self._ports(name)}
                lost = [row["pid"] for row in sessions if row["client_port"] not in alive]
                await admin.execute("SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid", lost)

    async def _ports(self, gateway: str) -> set[int]:
        return {_address(connection.server_side).port for connection in await self.control.connections(gateway)}

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

    @contextlib.asynccontextmanager
    async def _session(self, address: Address, timeout: float = PROBE_TIMEOUT) -> AsyncIterator[Any]:
        server = self._server
        session = await asyncpg.connect(
            host=address.host,
            port=address.port,
            user=server.user,
            password=server.password,
            database=server.database,
            timeout=timeout,
            command_timeout=timeout,
            ssl=False,
            server_settings={"application_name": ADMIN},
        )
        try:
            yield session
        finally:
            session.terminate()


def _address(text: str) -> Address:
    host, _, port = text.rpartition(":")
    return Address(host, int(port))
