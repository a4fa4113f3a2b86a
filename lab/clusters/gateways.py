"""Our fault proxy with a gateway in front of each node: what every cluster has, whatever stands behind."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import asyncpg

from faults.client import ControlClient
from faults.errors import ControlRefused, FaultError
from lab.cleanup import all_of
from lab.clusters._ports import free_port
from lab.clusters.base import Node
from lab.clusters.proxy_process import ProxyProcess
from lab.clusters.toxiproxy_hop import ToxiproxyHop
from lab.db.target import Address, Target
from lab.errors import Unhealthy

PROBE_TIMEOUT = 1.0
"""Seconds for one connection attempt of a health probe."""

PROBE_PAUSE = 0.02
"""Seconds between two probes of a node that did not answer."""

ADMIN = "lab-admin"
"""application_name of the lab's own sessions."""


class Gateways:
    """One proxy process and its gateways, in order of their opening.

    *seed* decides every draw. *detached*: the process outlives its owner. *protocol* "postgresql" follows the
    conversation, so that rules can strike. *hop*: a Toxiproxy between every gateway and its node.
    """

    def __init__(
        self,
        log: Path,
        environment: Mapping[str, str],
        *,
        seed: int,
        detached: bool = False,
        protocol: str = "postgresql",
        hop: ToxiproxyHop | None = None,
    ) -> None:
        self._process = ProxyProcess(log, environment, seed=seed, detached=detached)
        self._protocol = protocol
        self._hop = hop
        self._control: ControlClient | None = None
        self.nodes: tuple[Node, ...] = ()

    @property
    def about(self) -> str:
        """What leads to the nodes, to be said behind what they are; empty if that is nothing but gateways."""
        return ", through a Toxiproxy" if self._hop is not None else ""

    @property
    def control(self) -> ControlClient:
        """The control API; RuntimeError before `start`."""
        if self._control is None:
            raise RuntimeError("the cluster has no control API before it was started")
        return self._control

    async def start(self, within: float) -> None:
        """Start the process, without gateways yet; EnvironmentProblem after *within* seconds."""
        if self._hop is not None:
            await self._hop.start(within)
        await self._process.start(within)
        self._control = ControlClient(self._process.url)

    async def open(self, name: str, upstream: Address | str) -> Node:
        """Open a gateway that leads to *upstream*, at a free port, and return it as a node."""
        if self._hop is not None:
            upstream = await self._hop.lead(name, str(upstream))
        # Not port 0: the kernel could give a client such a port while the gateway is down, and it could not come back.
        while True:
            listen = f"127.0.0.1:{free_port()}"
            try:
                proxy = await self.control.create(name, listen, str(upstream), protocol=self._protocol)
            except ControlRefused as error:
                if "in use" not in str(error):
                    raise
            else:
                node = Node(name, address_of(proxy.listen))
                self.nodes = (*self.nodes, node)
                return node

    async def stop(self, within: float) -> None:
        """End the process and all gateways; by force after *within* seconds. Idempotent."""
        await self.leave_running()
        self._control, self.nodes = None, ()
        await self._process.stop(within)
        if self._hop is not None:
            await self._hop.stop(within)

    async def leave_running(self) -> None:
        """Let go of the process without ending it."""
        if self._hop is not None:
            await self._hop.leave_running()
        if self._control is not None:
            await self._control.close()

    async def heal(self) -> None:
        """Enable every gateway, take toxics and rules away; raise Unhealthy if the proxy does not do so."""
        try:
            await self.control.reset()
            if self._hop is not None:
                await self._hop.heal()
        except FaultError as error:
            raise Unhealthy(self._process.trouble() or f"the fault proxy cannot be healed: {error}") from error

    def require_started(self) -> None:
        """Raise Unhealthy if there is no gateway."""
        if not self.nodes:
            raise Unhealthy("no node is healthy: the cluster was not started")

    async def healthy(self, target: Target, within: float) -> None:
        """Return once each gateway has let a query through to *target*; Unhealthy names the one that did not."""
        self.require_started()
        await all_of(*(answers(target, node.name, node.address, within) for node in self.nodes))


async def answers(target: Target, name: str, address: Address, within: float) -> None:
    """Return once *target* answers a query at *address*; raise Unhealthy, naming the node, after *within* seconds."""
    problem: BaseException | None = None
    try:
        async with asyncio.timeout(within):
            while True:
                try:
                    async with session(target, address) as connection:
                        await connection.fetch("SELECT 1")
                        return
                except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
                    problem = error
                await asyncio.sleep(PROBE_PAUSE)
    except TimeoutError as error:
        last = f"{type(problem).__name__}: {problem}".removesuffix(": ") if problem else "no answer"
        raise Unhealthy(f"node {name} is not healthy after {within:g} s: {last}") from error


@contextlib.asynccontextmanager
async def session(
    target: Target, address: Address, timeout: float = PROBE_TIMEOUT, settings: Mapping[str, str] | None = None
) -> AsyncIterator[Any]:
    """Yield an asyncpg connection of the lab's own, whose every step is bounded by *timeout* seconds."""
    connection = await asyncpg.connect(
        host=address.host,
        port=address.port,
        user=target.user,
        password=target.password,
        database=target.database,
        timeout=timeout,
        command_timeout=timeout,
        ssl=target.tls,
        server_settings={"application_name": ADMIN, **(settings or {})},
    )
    try:
        yield connection
    finally:
        connection.terminate()


def address_of(text: str) -> Address:
    """Return the address that the control API writes as host:port."""
    host, _, port = text.rpartition(":")
    return Address(host, int(port))
