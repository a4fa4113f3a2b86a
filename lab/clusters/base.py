"""What every cluster is, and what some of them can do besides: a small required protocol and named capabilities."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from faults.client import ControlClient
from faults.plan import Bend, Crash, Cut, Down, Fault, Strike
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

    SERVER_CRASH = "server crash"
    """Killing the database server without warning, and starting it again."""


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
    def nodes(self) -> tuple[Node, ...]:
        """Its members, in order."""

    @property
    def target(self) -> Target:
        """The database as applications reach it: one address a node, each behind its proxy."""

    @property
    def direct(self) -> Target:
        """The database without proxies, for set-up and final reads."""

    @property
    def control(self) -> ControlClient:
        """The control API of the proxies."""

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


NEEDS: dict[type[Fault], Capability] = {
    Bend: Capability.TOXICS,
    Cut: Capability.TOXICS,
    Down: Capability.GATEWAY_LOSS,
    Crash: Capability.SERVER_CRASH,
    Strike: Capability.WIRE_RULES,
}
"""What each fault needs of a cluster."""


def require(cluster: Cluster, needed: Iterable[Capability], what: str) -> None:
    """Raise NotCapable, naming all that is missing, unless *cluster* has every needed capability."""
    missing = sorted(set(needed) - cluster.capabilities)
    if missing:
        raise NotCapable(f"{what} needs {', '.join(missing)}, which the cluster '{cluster.name}' does not have")
