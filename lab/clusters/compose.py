"""The cluster of docker-compose.yml: three CockroachDB containers behind Toxiproxy, and our gateways in front.

Application -> our gateway -> Toxiproxy -> node; node -> Toxiproxy -> node, a proxy for each ordered pair. An image that
is no CockroachDB is called a stand-in wherever the cluster tells what it is made of.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final

from faults.client import ControlClient, EvidenceInfo
from faults.errors import FaultError
from faults.topology import LinkName, links_between
from faults.toxics import Toxic
from lab import _containers
from lab.cleanup import all_of, to_its_end
from lab.clusters import _compose_command, cockroach
from lab.clusters._compose_nodes import ComposeNodes
from lab.clusters._kept_logs import keep_logs
from lab.clusters._ports import free_port
from lab.clusters._toxiproxy_links import ToxiproxyLinks
from lab.clusters.base import OWN_NODES, Capability, Node
from lab.clusters.gateways import Gateways, session
from lab.db.target import Address, Dialect, Target
from lab.errors import EnvironmentProblem, PortTaken, Unhealthy
from lab.state import RunFolder

NODES: Final = ("n1", "n2", "n3")
PORT_TRIES: Final = 3

SESSION: Final = 10.0
"""Seconds that a session of the lab's own may take to begin, on a cluster that has just come up."""

ONLY_COCKROACH: Final = frozenset({Capability.LEASES, Capability.FORCED_RETRIES, Capability.INJECTED_RETRIES})
"""What a stand-in cannot do."""


class ComposeCluster:
    """Services n1, n2, n3 and toxiproxy of docker-compose.yml, as a project named after the run.

    *seed* decides every draw of our gateways. *detached*: everything outlives its owner (``lab up``).
    """

    name = "compose"
    node_names: Final = NODES
    starts_within: Final = _compose_command.PULL + 120.0
    heals_within: Final = 90.0

    def __init__(self, run: RunFolder, *, seed: int = 0, detached: bool = False) -> None:
        self._run = run
        self._gateways = Gateways(run.path / "proxy.log", run.environment(), seed=seed, detached=detached)
        self._ports: dict[str, int] = {}
        self._docker: Any = None
        self._containers: ComposeNodes | None = None
        self._links: ToxiproxyLinks | None = None
        self._version = ""
        self._dialect: Dialect = "cockroachdb"
        self._refuses: frozenset[str] = frozenset()
        self._lacks: frozenset[Capability] = frozenset()

    @property
    def about(self) -> str:
        """What it is made of; a stand-in is called one."""
        made_of = self._version or "CockroachDB"
        called = made_of if self._dialect == "cockroachdb" else f"STAND-IN for CockroachDB ({made_of})"
        return f"{called}, {len(NODES)} containers behind Toxiproxy, links between them too"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do; known for certain once it has started."""
        return (OWN_NODES | {Capability.NODE_DISCONNECT}) - self._lacks

    @property
    def places(self) -> dict[str, str]:
        """Toxiproxy's control API and the consoles of the nodes."""
        ports = {"toxiproxy": "TOXIPROXY_PORT", **{f"console {name}": f"{name}_CONSOLE_PORT" for name in NODES}}
        return {what: f"http://{self._published(variable)}" for what, variable in ports.items()} if self._ports else {}

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, each behind its gateway."""
        return self._gateways.nodes

    @property
    def target(self) -> Target:
        """The database through gateways and Toxiproxy."""
        return self._target(tuple(node.address for node in self.nodes))

    @property
    def direct(self) -> Target:
        """The nodes themselves, by their published ports."""
        return self._target(tuple(self._published(f"{name}_DIRECT_PORT") for name in NODES))

    def _target(self, addresses: tuple[Address, ...]) -> Target:
        return Target(self._dialect, addresses, cockroach.USER, "", cockroach.DATABASE, refuses=self._refuses)

    def _published(self, variable: str) -> Address:
        return Address("127.0.0.1", self._ports[variable.upper()])

    @property
    def control(self) -> ControlClient:
        """The control API of our gateways."""
        return self._gateways.control

    async def start(self, within: float) -> None:
        """Bring the project up, fetching images if need be; after `stop` it comes up again with its data.

        Raises EnvironmentProblem for each thing that can be missing: Docker, its engine, the right to use it, Compose,
        an image, a port.
        """
        if self.nodes:
            return
        try:
            async with asyncio.timeout(within):
                await self._start(within)
        except TimeoutError as error:
            problem = f"the compose cluster was not up within {within:g} s"
            raise EnvironmentProblem(problem, f"try on a less busy machine{await self._kept_logs()}") from error
        except Unhealthy as error:
            raise EnvironmentProblem(str(error), f"see what the containers said{await self._kept_logs()}") from error

    async def _start(self, within: float) -> None:
        compose = await _compose_command.find_compose()
        self._docker = self._docker or await asyncio.to_thread(_containers.connect)
        (self._run.path / _containers.PROJECT).write_text(self._run.id, encoding="ascii")
        await self._bring_up(compose)
        self._containers = ComposeNodes(self._docker, self._run.id, NODES)
        await self._containers.healthy(("toxiproxy", *NODES))
        control = ControlClient(f"http://{self._published('TOXIPROXY_PORT')}")
        self._links = ToxiproxyLinks(control, self._containers)
        with cockroach.in_words("the new cluster does not answer"):
            await self._learn(within)
            async with contextlib.AsyncExitStack() as stack:  # a session at each node, so that its links have work
                for address in self.direct.addresses:
                    await stack.enter_async_context(session(self.direct, address, SESSION))
                await self._links.find_used(links_between(NODES))
        await self._gateways.start(within)
        for name in NODES:
            await self._gateways.open(name, self._published(f"{name}_PORT"))

    async def _bring_up(self, compose: _compose_command.Compose) -> None:
        file = str(_compose_command.package_file(_compose_command.FILE))
        command = [*compose.command, "--project-name", self._run.id, "--file", file, "up", "--detach"]
        for attempt in range(PORT_TRIES):
            variables = [f"{name.upper()}{kind}_PORT" for name in NODES for kind in ("", "_DIRECT", "_CONSOLE")]
            self._ports = {variable: free_port() for variable in (*variables, "TOXIPROXY_PORT")}
            code, said = await _compose_command.run(command, self._environment(), _compose_command.PULL)
            if code == 0:
                return
            problem = _compose_command.complaint(said)
            await to_its_end(asyncio.to_thread(_containers.remove_project, self._run.id, volumes=False))
            if not isinstance(problem, PortTaken) or attempt == PORT_TRIES - 1:
                raise problem

    def _environment(self) -> dict[str, str]:
        config = {"TOXIPROXY_CONFIG": str(_compose_command.package_file("toxiproxy.json"))}
        # With the run's mark: a Compose whose run was killed would go on making what nobody finds any more.
        return {**self._run.environment(), **config, **{name: str(port) for name, port in self._ports.items()}}

    async def _learn(self, within: float) -> None:
        first = self.direct.addresses[0]
        await cockroach.make_database(self.direct, first, within)
        self._version = await cockroach.version_of(self.direct, first)
        self._dialect = "cockroachdb" if self._version.startswith("CockroachDB") else "postgresql"
        self._refuses = await cockroach.refused_settings(self.direct, first)
        if self._dialect != "cockroachdb":
            self._lacks = ONLY_COCKROACH
        elif not await cockroach.injects_retries(self.direct, first):
            self._lacks = frozenset({Capability.INJECTED_RETRIES})

    async def stop(self, within: float) -> None:
        """End our gateways and remove the containers; their data stays until the run folder is removed."""
        try:
            await self._gateways.stop(within)
            if self._links is not None:
                await self._links.control.close()
        finally:
            if self._docker is not None:
                await asyncio.to_thread(_containers.remove_project, self._run.id, volumes=False)

    async def leave_running(self) -> None:
        """Let go of everything without ending it."""
        await self._gateways.leave_running()
        if self._links is not None:
            await self._links.control.close()

    async def heal(self, within: float) -> None:
        """Let every container run, on its network, and every proxy work.

        Raises Unhealthy if that is not possible, and once, when all is well again, if a node was down by itself.
        """
        containers, links = self._started()
        strays: dict[str, str] = {}
        try:
            async with asyncio.timeout(within):
                await all_of(self._gateways.heal(), _reset(links))
                strays = await containers.strays()
                await all_of(*(self.start_node(name) for name in NODES))
        except TimeoutError as error:
            raise Unhealthy(f"not everything was healed within {within:g} s") from error
        if strays:
            told = "; ".join(f"{name} {how}" for name, how in strays.items())
            raise Unhealthy(f"a node ended, and no fault of the plan did that: {told}{await self._kept_logs()}")

    async def _kept_logs(self) -> str:
        """Keep the containers' logs, and return where, to be put behind a message."""
        folder = keep_logs(self._run.path, await self._containers.logs()) if self._containers is not None else ""
        return f" (logs: {folder})" if folder else ""

    async def healthy(self, within: float) -> None:
        """Return once each gateway has let a query through."""
        self._gateways.require_started()
        await self._gateways.healthy(self.target, within)

    def _started(self) -> tuple[ComposeNodes, ToxiproxyLinks]:
        if self._containers is None or self._links is None:
            raise Unhealthy("no node is healthy: the cluster was not started")
        return self._containers, self._links

    # --- capabilities ------------------------------------------------------------------------------------------------

    async def lose_gateway(self, node: str) -> None:
        """Disable the gateway; the node sees its clients gone, and ends their sessions."""
        await self.control.disable(node)

    async def return_gateway(self, node: str) -> None:
        """Let the gateway listen again."""
        await self.control.enable(node)

    async def kill_node(self, node: str) -> str:
        """Kill the node's container."""
        return await self._started()[0].kill(node)

    def forget_faults(self) -> None:
        """Take it that no node was meant to be down: what is down from here on is so by itself."""
        self._started()[0].forget_faults()

    async def pause_node(self, node: str) -> str:
        """Freeze the node's container."""
        return await self._started()[0].pause(node)

    async def resume_node(self, node: str) -> None:
        """Let it go on."""
        await self._started()[0].resume(node)

    async def drain_node(self, node: str) -> str:
        """Stop the node's container with SIGTERM, which drains it first."""
        return await self._started()[0].drain(node)

    async def start_node(self, node: str) -> None:
        """Have the node run on its network, and return when it takes queries."""
        await self._started()[0].run(node)

    async def disconnect_node(self, node: str) -> str:
        """Take the node off the network that it shares with Toxiproxy."""
        return await self._started()[0].disconnect(node)

    async def reconnect_node(self, node: str) -> None:
        """Put it back."""
        await self._started()[0].reconnect(node)

    async def bend_link(self, link: LinkName, toxic: Toxic, name: str) -> None:
        """Put a toxic on what the link's source sends."""
        await self._started()[1].bend(link, toxic, name)

    async def straighten_link(self, link: LinkName, name: str) -> None:
        """Take the toxic away."""
        await self._started()[1].straighten(link, name)

    async def cut_link(self, link: LinkName) -> None:
        """Cut the link."""
        await self._started()[1].cut(link)

    async def join_link(self, link: LinkName) -> None:
        """Let it work again."""
        await self._started()[1].join(link)

    async def link_evidence(self, link: LinkName, name: str) -> list[EvidenceInfo]:
        """Return what was seen to happen to the link."""
        return self._started()[1].evidence(link, name)

    async def leaseholder(self) -> str:
        """Return the node that holds most leases."""
        direct = [Node(name, self._published(f"{name}_DIRECT_PORT")) for name in NODES]
        return await cockroach.leaseholder(self.direct, direct)

    async def replicated(self, within: float) -> None:
        """Return once all ranges are on all nodes."""
        await cockroach.replicated(self.direct, len(NODES), within)


async def _reset(links: ToxiproxyLinks) -> None:
    try:
        await links.reset()
    except FaultError as error:
        raise Unhealthy(f"Toxiproxy cannot be healed: {error}") from error
