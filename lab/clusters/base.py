"""What every cluster is, and what some of them can do besides: a small required protocol and named capabilities."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from faults import silence
from faults.client import ControlClient, EvidenceInfo
from faults.node import DisconnectsNodes, DrainsNodes, KillsNodes, PausesNodes
from faults.plan import (
    LEASEHOLDER,
    Bend,
    BendLinks,
    Crash,
    Cut,
    Disconnect,
    Down,
    Drain,
    Fault,
    Isolate,
    Kill,
    Pause,
    RollingRestart,
    Strike,
    Vanish,
)
from faults.topology import LinkName
from faults.toxics import Toxic
from lab.db.target import Address, Target
from lab.errors import NotCapable


class Capability(enum.StrEnum):
    """What a scenario can need and a cluster can have."""

    TOXICS = "toxics"
    """Toxics on the proxy in front of each node, with evidence."""

    WIRE_RULES = "wire rules"
    """Rules about moments of the PostgreSQL conversation, with the truth about each firing."""

    GATEWAY_LOSS = "gateway loss"
    """Losing the gateway of a node together with everything that runs through it."""

    VANISHING = "vanishing"
    """The gateway of a node falling silent, as a lost host does: nothing is acknowledged. Linux."""

    SERVER_CRASH = "server crash"
    """Killing the database server without warning, and starting it again."""

    BACKEND_PAUSE = "backend pause"
    """Stopping the server's process behind one session in its tracks, and letting it go on."""

    NODE_KILL = "node kill"
    """Killing one node of several without warning, and starting it again."""

    NODE_PAUSE = "node pause"
    """Stopping a node in its tracks, and letting it go on."""

    NODE_DRAIN = "node drain"
    """Taking a node out of service in an orderly way, and starting it again."""

    NODE_DISCONNECT = "node disconnect"
    """Taking a node off its network, and putting it back."""

    NODE_LINKS = "node links"
    """Cutting and bending the links between nodes, each direction by itself."""

    LEASES = "leases"
    """Finding the node that serves the workload's rows: a database whose rows live on several nodes."""

    FORCED_RETRIES = "forced retries"
    """Transactions can ask the database itself for a serialization failure (CockroachDB's force_retry)."""

    INJECTED_RETRIES = "injected retries"
    """A setting has the database fail transactions by itself (CockroachDB's inject_retry_errors_enabled, from 21.2)."""


ON_THE_WAY = frozenset({Capability.TOXICS, Capability.WIRE_RULES, Capability.GATEWAY_LOSS}) | (
    {Capability.VANISHING} if silence.POSSIBLE else frozenset()
)
"""What every cluster can do, as it is done by the gateways in front of it."""

OWN_NODES = ON_THE_WAY | {
    Capability.NODE_KILL,
    Capability.NODE_PAUSE,
    Capability.NODE_DRAIN,
    Capability.NODE_LINKS,
    Capability.LEASES,
    Capability.FORCED_RETRIES,
    Capability.INJECTED_RETRIES,
}
"""What a cluster of CockroachDB nodes can do that the lab has started, as a container or a process each."""


@dataclass(frozen=True, slots=True)
class Node:
    """A member of the cluster: its *name*, and the *address* of the proxy in front of it."""

    name: str
    address: Address


class Cluster(Protocol):
    """The required part. *target* leads through the proxies (what an application gets), *direct* around them."""

    @property
    def name(self) -> str:
        """The name by which users ask for it."""

    @property
    def about(self) -> str:
        """What it is made of, in one line with versions: reports say it."""

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do besides."""

    @property
    def node_names(self) -> tuple[str, ...]:
        """What its members are called, in order; known before it is started."""

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its members, in order; none before it is started."""

    @property
    def target(self) -> Target:
        """The database as applications reach it: one address a node, each behind its proxy."""

    @property
    def direct(self) -> Target:
        """The database without proxies, for set-up and final reads."""

    @property
    def control(self) -> ControlClient:
        """The control API of the proxies."""

    @property
    def places(self) -> Mapping[str, str]:
        """What else a user may want to visit, URLs by what they are: consoles, a Toxiproxy."""

    @property
    def starts_within(self) -> float:
        """Seconds within which `start` ends, one way or the other."""

    @property
    def heals_within(self) -> float:
        """Seconds within which `heal` and `healthy` bring it back from the worst."""

    async def start(self, within: float) -> None:
        """Come up, ready for queries; raise EnvironmentProblem if this machine cannot."""

    async def stop(self, within: float) -> None:
        """End everything that `start` has begun, also after a failure or a crash; may be called again."""

    async def leave_running(self) -> None:
        """Let go of a detached cluster: its processes go on when this one ends."""

    async def heal(self, within: float) -> None:
        """Undo every fault: proxies enabled and without toxics, servers up. May be called at any time, and again.

        Raises Unhealthy if that is not possible, or if something was down that no fault had taken down.
        """

    async def healthy(self, within: float) -> None:
        """Return once every node answers a query through its proxy; raise Unhealthy if one does not."""


@runtime_checkable
class LosesGateways(Protocol):
    """Capability GATEWAY_LOSS."""

    async def lose_gateway(self, node: str) -> None:
        """Cut the node's gateway: its connections end, and so do their sessions on the server."""

    async def return_gateway(self, node: str) -> None:
        """Let the gateway listen again at the same address."""


@runtime_checkable
class CrashesServer(Protocol):
    """Capability SERVER_CRASH."""

    async def crash_server(self) -> int:
        """Kill the server with all its sessions; return how many processes died."""

    async def restart_server(self) -> None:
        """Start it again at the same address and return when it takes queries."""


@runtime_checkable
class PausesBackends(Protocol):
    """Capability BACKEND_PAUSE."""

    async def pause_backend(self, pid: int) -> None:
        """Stop (SIGSTOP) the process *pid*, which serves one session; Unhealthy if the server has no such child."""

    async def resume_backends(self, pids: Iterable[int]) -> None:
        """Let those of *pids* go on that were stopped; one that is gone stays gone."""


@runtime_checkable
class HasLinks(Protocol):
    """Capability NODE_LINKS."""

    async def bend_link(self, link: LinkName, toxic: Toxic, name: str) -> None:
        """Put a toxic called *name* on what the link's source sends."""

    async def straighten_link(self, link: LinkName, name: str) -> None:
        """Take the toxic away."""

    async def cut_link(self, link: LinkName) -> None:
        """Cut what runs through the link, and refuse what comes, until `join_link`."""

    async def join_link(self, link: LinkName) -> None:
        """Let the link work again."""

    async def link_evidence(self, link: LinkName, name: str) -> list[EvidenceInfo]:
        """Return what toxics called *name*, or cuts ("down"), did to the link's connections, the latest last."""


@runtime_checkable
class HoldsLeases(Protocol):
    """Capability LEASES."""

    async def leaseholder(self) -> str:
        """Return the node that holds most leases of the workload's tables; raise Unhealthy if nobody can tell."""

    async def replicated(self, within: float) -> None:
        """Return once every range of the workload's tables has a replica on each node; Unhealthy if that fails."""


NODE_PROTOCOLS: dict[Capability, type] = {
    Capability.GATEWAY_LOSS: LosesGateways,
    Capability.SERVER_CRASH: CrashesServer,
    Capability.BACKEND_PAUSE: PausesBackends,
    Capability.NODE_KILL: KillsNodes,
    Capability.NODE_PAUSE: PausesNodes,
    Capability.NODE_DRAIN: DrainsNodes,
    Capability.NODE_DISCONNECT: DisconnectsNodes,
    Capability.NODE_LINKS: HasLinks,
    Capability.LEASES: HoldsLeases,
}
"""The methods behind each capability that has some."""

NEEDS: dict[type[Fault], Capability] = {
    Bend: Capability.TOXICS,
    Cut: Capability.TOXICS,
    Down: Capability.GATEWAY_LOSS,
    Vanish: Capability.VANISHING,
    Crash: Capability.SERVER_CRASH,
    Strike: Capability.WIRE_RULES,
    Kill: Capability.NODE_KILL,
    Pause: Capability.NODE_PAUSE,
    Drain: Capability.NODE_DRAIN,
    RollingRestart: Capability.NODE_DRAIN,
    Disconnect: Capability.NODE_DISCONNECT,
    Isolate: Capability.NODE_LINKS,
    BendLinks: Capability.NODE_LINKS,
}
"""What each kind of fault needs of a cluster."""


def needs_of(faults: Iterable[Fault]) -> frozenset[Capability]:
    """Return what a cluster must be able to do for these faults."""
    needed = set()
    for fault in faults:
        needed |= {NEEDS[type(fault)]} | ({Capability.LEASES} if fault.on == LEASEHOLDER else set())
    return frozenset(needed)


def missing_of(cluster: Cluster, needed: Iterable[Capability]) -> list[str]:
    """Return the names of what *cluster* lacks of what is needed, in order."""
    return sorted(set(needed) - cluster.capabilities)


def require(cluster: Cluster, needed: Iterable[Capability], what: str) -> None:
    """Raise NotCapable, naming all that is missing, unless *cluster* has every needed capability."""
    missing = missing_of(cluster, needed)
    if missing:
        raise lacking(cluster, missing, what)


def lacking(cluster: Cluster, missing: Sequence[str], what: str) -> NotCapable:
    """Return the error for *what*, which needs what is *missing*."""
    return NotCapable(f"{what} needs {', '.join(missing)}, which the cluster '{cluster.name}' does not have")
