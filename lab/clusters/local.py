"""Three processes of a ``cockroach`` binary on loopback: a real distributed database without Docker.

Application -> our gateway -> node; node -> link proxy -> node, a proxy for each ordered pair. Insecure, on loopback, in
a folder of its own.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Final

from faults.client import ControlClient, EvidenceInfo
from faults.topology import LinkName, links_between
from faults.toxics import Toxic
from lab.cleanup import all_of
from lab.clusters import cockroach
from lab.clusters._kept_logs import keep_logs
from lab.clusters._node_process import NodeProcess
from lab.clusters._ports import free_port
from lab.clusters.base import OWN_NODES, Capability, Node
from lab.clusters.gateways import Gateways
from lab.clusters.toxiproxy_hop import ToxiproxyHop
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem, Unhealthy
from lab.state import RunFolder

NODES: Final = ("n1", "n2", "n3")

DRAIN: Final = 60.0
"""Seconds that draining a node may take: old versions wait ten for running queries alone."""

READY: Final = 60.0
"""Seconds in which a node that was started again takes queries."""


class LocalCluster:
    """Nodes n1, n2, n3 of *binary* (default: ``cockroach`` on PATH) in a run folder.

    *seed* decides every draw of the proxies. *detached*: the processes outlive their owner (``lab up``). *toxiproxy*: a
    real one to lead clients through, as `toxiproxy_hop` takes it. Raises EnvironmentProblem if there is no binary.
    """

    name = "local"
    node_names: Final = NODES
    starts_within: Final = 60.0
    heals_within: Final = 90.0

    def __init__(
        self,
        run: RunFolder,
        *,
        seed: int = 0,
        binary: Path | None = None,
        detached: bool = False,
        toxiproxy: object = None,
    ) -> None:
        self._binary = find_binary(binary)
        self._run = run.path
        self._folder = run.path / "nodes"
        env = self._environment = run.environment()
        hop = None if toxiproxy is None else ToxiproxyHop(toxiproxy, run.path, env)
        self._gateways = Gateways(run.path / "proxy.log", env, seed=seed, detached=detached, hop=hop)
        self._links = Gateways(run.path / "links.log", self._environment, seed=seed, detached=detached, protocol="tcp")
        self._addresses = {name: Address("127.0.0.1", free_port()) for name in NODES}
        self._processes: dict[str, NodeProcess] = {}
        self._meant_down: set[str] = set()
        self._initialised = False
        self._version = "CockroachDB"
        self._refuses: frozenset[str] = frozenset()
        self._lacks: frozenset[Capability] = frozenset()

    @property
    def about(self) -> str:
        """What it is made of."""
        made_of = f"{self._version}, {len(NODES)} processes of {self._binary}, links between them proxied"
        return made_of + self._gateways.about

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do; known for certain once it has started."""
        return OWN_NODES - self._lacks

    @property
    def places(self) -> dict[str, str]:
        """The consoles of the nodes."""
        return {f"console {name}": process.url for name, process in self._processes.items()}

    @property
    def binary(self) -> Path:
        """The program that its nodes run."""
        return self._binary

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes, each behind its gateway."""
        return self._gateways.nodes

    @property
    def target(self) -> Target:
        """The database through the gateways."""
        return self._target(tuple(node.address for node in self.nodes))

    @property
    def direct(self) -> Target:
        """The nodes themselves."""
        return self._target(tuple(self._addresses.values()))

    def _target(self, addresses: tuple[Address, ...]) -> Target:
        return Target("cockroachdb", addresses, cockroach.USER, "", cockroach.DATABASE, refuses=self._refuses)

    @property
    def control(self) -> ControlClient:
        """The control API of the gateways."""
        return self._gateways.control

    async def start(self, within: float) -> None:
        """Start proxies and nodes, and make a cluster of them; after `stop` they come up again with their data.

        Raises EnvironmentProblem with a node's last words if they do not come up within *within* seconds.
        """
        if self.nodes:
            return
        try:
            async with asyncio.timeout(within):
                await self._start(within)
        except TimeoutError as error:
            problem = f"the cluster was not up within {within:g} s"
            raise EnvironmentProblem(problem, f"try on a less busy machine{self._kept_logs()}") from error
        except Unhealthy as error:
            raise EnvironmentProblem(str(error), f"see what the nodes said{self._kept_logs()}") from error

    async def _start(self, within: float) -> None:
        await all_of(self._gateways.start(within), self._links.start(within))
        self._folder.mkdir(exist_ok=True)
        links = {}
        for link in links_between(NODES):
            links[link] = (await self._links.open(str(link), self._addresses[link.target])).address
        for name in NODES:
            self._processes[name] = self._process(name, links)
            self._processes[name].start()
        if not self._initialised:
            await all_of(*(process.listening(within) for process in self._processes.values()))
            await cockroach.initialise(self._binary, self._addresses[NODES[0]], self._environment)
            self._initialised = True
        await all_of(*(process.ready(within) for process in self._processes.values()))
        with cockroach.in_words("the new cluster does not answer"):
            await self._learn(within)
        for name in NODES:
            await self._gateways.open(name, self._addresses[name])

    async def _learn(self, within: float) -> None:
        first = self._addresses[NODES[0]]
        await cockroach.make_database(self.direct, first, within)
        self._version = await cockroach.version_of(self.direct, first)
        self._refuses = await cockroach.refused_settings(self.direct, first)
        if not await cockroach.injects_retries(self.direct, first):
            self._lacks = frozenset({Capability.INJECTED_RETRIES})

    def _process(self, name: str, links: dict[LinkName, Address]) -> NodeProcess:
        http = Address("127.0.0.1", free_port())
        arguments = cockroach.start_arguments(name, self._addresses, http, self._folder / name, links)
        log = self._folder / f"{name}.log"
        return NodeProcess(name, [self._binary, *arguments], http, log, self._environment)

    async def stop(self, within: float) -> None:
        """End proxies and nodes; nodes are killed, for a throw-away store needs no farewell."""
        try:
            await all_of(self._gateways.stop(within), self._links.stop(within))
        finally:
            await all_of(*(process.gone() for process in self._processes.values()))

    async def leave_running(self) -> None:
        """Let go of the processes without ending them."""
        await all_of(self._gateways.leave_running(), self._links.leave_running())

    async def heal(self, within: float) -> None:
        """Let every node run and every link and gateway work.

        Raises Unhealthy if that is not possible, and once, when all is well again, if a node was down by itself.
        """
        strays = {
            name: process.last_words()
            for name, process in self._processes.items()
            if not process.running and name not in self._meant_down
        }
        try:
            async with asyncio.timeout(within):
                await all_of(self._gateways.heal(), self._links.heal())
                await all_of(*(self.start_node(name) for name in self._processes))
        except TimeoutError as error:
            raise Unhealthy(f"not everything was healed within {within:g} s") from error
        if strays:
            told = "; ".join(f"{name}: {words}" for name, words in strays.items())
            raise Unhealthy(f"a node ended, and no fault of the plan did that: {told}{self._kept_logs()}")

    def _kept_logs(self) -> str:
        """Keep the nodes' logs, and return where, to be put behind a message."""
        logs = {name: process.log.read_bytes() for name, process in self._processes.items() if process.log.exists()}
        folder = keep_logs(self._run, logs)
        return f" (logs: {folder})" if folder else ""

    async def healthy(self, within: float) -> None:
        """Return once each gateway has let a query through."""
        await self._gateways.healthy(self.target if self.nodes else self.direct, within)

    # --- capabilities ------------------------------------------------------------------------------------------------

    async def lose_gateway(self, node: str) -> None:
        """Disable the gateway; the node sees its clients gone, and ends their sessions."""
        await self.control.disable(node)

    async def return_gateway(self, node: str) -> None:
        """Let the gateway listen again."""
        await self.control.enable(node)

    async def kill_node(self, node: str) -> str:
        """Kill the node's process."""
        return await self._mean(node).kill()

    def _mean(self, node: str) -> NodeProcess:
        # What had ended by itself before is no fault's work.
        if self._processes[node].running:
            self._meant_down.add(node)
        return self._processes[node]

    def forget_faults(self) -> None:
        """Take it that no node was meant to be down: what is down from here on is so by itself."""
        self._meant_down.clear()

    async def pause_node(self, node: str) -> str:
        """Stop the node's process."""
        return await self._processes[node].pause()

    async def resume_node(self, node: str) -> None:
        """Let it go on."""
        self._processes[node].resume()

    async def drain_node(self, node: str) -> str:
        """Drain the node and let its process end."""
        return await self._mean(node).drain(DRAIN)

    async def start_node(self, node: str) -> None:
        """Start the node if it is down, let it go on if it stands still; return when it takes queries."""
        process = self._processes[node]
        process.resume()
        await process.gone_if_told_so()  # a fault that was cancelled half-way
        process.start()
        await process.ready(READY)
        self._meant_down.discard(node)

    async def bend_link(self, link: LinkName, toxic: Toxic, name: str) -> None:
        """Put a toxic on what the link's source sends."""
        await self._links.control.add(str(link), toxic, name=name, stream="upstream")

    async def straighten_link(self, link: LinkName, name: str) -> None:
        """Take the toxic away."""
        await self._links.control.remove(str(link), name)

    async def cut_link(self, link: LinkName) -> None:
        """Cut the link."""
        await self._links.control.disable(str(link))

    async def join_link(self, link: LinkName) -> None:
        """Let it work again."""
        await self._links.control.enable(str(link))

    async def link_evidence(self, link: LinkName, name: str) -> list[EvidenceInfo]:
        """Return what the link's proxy has on record."""
        return [e for e in await self._links.control.evidence() if (e.proxy, e.name) == (str(link), name)]

    async def leaseholder(self) -> str:
        """Return the node that holds most leases."""
        direct = [Node(name, address) for name, address in self._addresses.items()]
        return await cockroach.leaseholder(self.direct, direct)

    async def replicated(self, within: float) -> None:
        """Return once all ranges are on all nodes."""
        await cockroach.replicated(self.direct, len(NODES), within)


def find_binary(named: Path | None = None) -> Path:
    """Return *named*, or ``cockroach`` on PATH; raise EnvironmentProblem, with the remedy, if it is not there."""
    if named is not None:
        if not named.is_file():
            raise EnvironmentProblem(f"there is no file '{named}'", "name a cockroach binary with --binary")
        return named.absolute()
    found = shutil.which("cockroach")
    if found is None:
        raise EnvironmentProblem("there is no 'cockroach' on PATH", "install CockroachDB, or name one with --binary")
    return Path(found)
