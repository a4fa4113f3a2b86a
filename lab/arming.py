"""How each kind of fault is armed on a cluster, healed again, and what evidence it leaves."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar, cast

from faults.client import EvidenceInfo, FiringInfo
from faults.node import DisconnectsNodes, DrainsNodes, KillsNodes, PausesNodes, disconnected, drained, killed, paused
from faults.plan import (
    EVERY_NODE,
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
    targets,
)
from faults.topology import LinkName, links_between, links_of
from lab.cleanup import all_of
from lab.clusters.base import Cluster, CrashesServer, HasLinks, LosesGateways


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fault did, summed up over its targets. Times are seconds since the epoch."""

    events: int = 0
    connections: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    note: str = ""


Heal: TypeAlias = Callable[[], Awaitable[Evidence]]
T = TypeVar("T")


async def arm(cluster: Cluster, name: str, fault: Fault) -> Heal:
    """Arm a resolved *fault*, called *name* where that shows; what is returned heals it and brings in its evidence.

    Raises TypeError for a cluster that lacks what it claims to have, and what the cluster itself raises.
    """
    return await _ARMING[type(fault)](cluster, name, fault)


async def _bend(cluster: Cluster, name: str, fault: Bend) -> Heal:
    control, nodes = cluster.control, _nodes(cluster, fault)

    async def heal() -> Evidence:
        await all_of(*(control.remove(node, name) for node in nodes))
        return _sum(e for e in await control.evidence() if e.name == name and e.proxy in nodes)

    await all_of(
        *(control.add(node, fault.toxic, name=name, stream=fault.stream, toxicity=fault.toxicity) for node in nodes)
    )
    return heal


async def _down(cluster: Cluster, _name: str, fault: Down) -> Heal:
    gateways, nodes = _able(cluster, LosesGateways), _nodes(cluster, fault)

    async def heal() -> Evidence:
        await all_of(*(gateways.return_gateway(node) for node in nodes))
        return _sum(_latest(await cluster.control.evidence(), "down", nodes))

    await all_of(*(gateways.lose_gateway(node) for node in nodes))
    return heal


async def _vanish(cluster: Cluster, _name: str, fault: Vanish) -> Heal:
    control, nodes = cluster.control, _nodes(cluster, fault)

    async def heal() -> Evidence:
        await all_of(*(control.come_back(node) for node in nodes))
        return _sum(_latest(await control.evidence(), "vanished", nodes))

    await all_of(*(control.vanish(node) for node in nodes))
    return heal


async def _cut(cluster: Cluster, _name: str, fault: Cut) -> Heal:
    control, nodes = cluster.control, _nodes(cluster, fault)
    await all_of(*(control.reset_connections(node) for node in nodes))
    evidence = _sum(_latest(await control.evidence(), "cut", nodes))

    async def heal() -> Evidence:
        return evidence

    return heal


async def _strike(cluster: Cluster, name: str, fault: Strike) -> Heal:
    control = cluster.control
    proxy = "*" if fault.on == EVERY_NODE else fault.on
    rule = replace(fault.rule, name=name, where=replace(fault.rule.where, proxy=proxy))

    async def heal() -> Evidence:
        await control.disarm(name)
        return _struck([firing for firing in await control.firings() if firing.rule == name])

    await control.arm(rule)
    return heal


async def _crash(cluster: Cluster, _name: str, _fault: Crash) -> Heal:
    server = _able(cluster, CrashesServer)
    died = await server.crash_server()

    async def heal() -> Evidence:
        await server.restart_server()
        return Evidence(events=died, note=f"{died} server processes killed")

    return heal


# --- nodes ------------------------------------------------------------------------------------------------------------


async def _kill(cluster: Cluster, _name: str, fault: Kill) -> Heal:
    able = _able(cluster, KillsNodes)
    return await _hurt(killed(able, node) for node in _nodes(cluster, fault))


async def _pause(cluster: Cluster, _name: str, fault: Pause) -> Heal:
    able = _able(cluster, PausesNodes)
    return await _hurt(paused(able, node) for node in _nodes(cluster, fault))


async def _drain(cluster: Cluster, _name: str, fault: Drain) -> Heal:
    able = _able(cluster, DrainsNodes)
    return await _hurt(drained(able, node) for node in _nodes(cluster, fault))


async def _disconnect(cluster: Cluster, _name: str, fault: Disconnect) -> Heal:
    able = _able(cluster, DisconnectsNodes)
    return await _hurt(disconnected(able, node) for node in _nodes(cluster, fault))


async def _rolling_restart(cluster: Cluster, _name: str, fault: RollingRestart) -> Heal:
    able = _able(cluster, DrainsNodes)
    notes = []
    for node in _nodes(cluster, fault):
        async with drained(able, node) as what:
            notes.append(what)
        await cluster.healthy(cluster.heals_within)

    async def heal() -> Evidence:
        return Evidence(events=len(notes), note="; ".join(notes))

    return heal


async def _hurt(faults: Iterable[contextlib.AbstractAsyncContextManager[str]]) -> Heal:
    async with contextlib.AsyncExitStack() as stack:
        notes = [await stack.enter_async_context(fault) for fault in faults]
        undo = stack.pop_all()

    async def heal() -> Evidence:
        await undo.aclose()
        return Evidence(events=len(notes), note="; ".join(notes))

    return heal


# --- links ------------------------------------------------------------------------------------------------------------


async def _isolate(cluster: Cluster, _name: str, fault: Isolate) -> Heal:
    able, links = _able(cluster, HasLinks), _links(cluster, fault)

    async def heal() -> Evidence:
        await all_of(*(able.join_link(link) for link in links))
        return await _latest_of(able, links, "down")

    await all_of(*(able.cut_link(link) for link in links))
    return heal


async def _bend_links(cluster: Cluster, name: str, fault: BendLinks) -> Heal:
    able, links = _able(cluster, HasLinks), _links(cluster, fault)

    async def heal() -> Evidence:
        await all_of(*(able.straighten_link(link, name) for link in links))
        return await _latest_of(able, links, name)

    await all_of(*(able.bend_link(link, fault.toxic, name) for link in links))
    return heal


async def _latest_of(able: HasLinks, links: Iterable[LinkName], name: str) -> Evidence:
    # Only the last record of each: the same step of a scenario before this one has left records of the same name.
    found = [await able.link_evidence(link, name) for link in links]
    return _sum(records[-1] for records in found if records)


def _links(cluster: Cluster, fault: Isolate | BendLinks) -> list[LinkName]:
    nodes = [node.name for node in cluster.nodes]
    return links_between(nodes) if fault.on == EVERY_NODE else list(links_of(fault.on, nodes, fault.direction))


# --- what they share --------------------------------------------------------------------------------------------------

_ARMING: dict[type[Fault], Callable[[Cluster, str, Any], Awaitable[Heal]]] = {
    Bend: _bend,
    BendLinks: _bend_links,
    Crash: _crash,
    Cut: _cut,
    Disconnect: _disconnect,
    Down: _down,
    Drain: _drain,
    Isolate: _isolate,
    Kill: _kill,
    Pause: _pause,
    RollingRestart: _rolling_restart,
    Strike: _strike,
    Vanish: _vanish,
}


def _nodes(cluster: Cluster, fault: Fault) -> list[str]:
    return targets(fault, [node.name for node in cluster.nodes])


def _able(cluster: Cluster, protocol: type[T]) -> T:
    if not isinstance(cluster, protocol):
        raise TypeError(f"{cluster.name} claims a capability without its methods ({protocol.__name__})")
    return cast("T", cluster)


def _struck(firings: list[FiringInfo]) -> Evidence:
    if not firings:
        return Evidence(note="no statement matched")
    applied = sum(firing.forwarded and (firing.answer or "").startswith(firing.statement) for firing in firings)
    times = [firing.at for firing in firings]
    note = f"{len(firings)} statements struck, of which the server has done {applied}"
    connections = len({(firing.proxy, firing.connection) for firing in firings})
    return Evidence(len(firings), connections, 0, min(times), max(times), note)


def _latest(evidence: list[EvidenceInfo], name: str, nodes: list[str]) -> list[EvidenceInfo]:
    return list({record.proxy: record for record in evidence if record.name == name and record.proxy in nodes}.values())


def _sum(records: Iterable[EvidenceInfo]) -> Evidence:
    found: list[EvidenceInfo] = [record for record in records if record.events]
    if not found:
        return Evidence(note="it touched no connection")
    return Evidence(
        events=sum(record.events for record in found),
        connections=sum(record.connections for record in found),
        bytes=sum(record.bytes for record in found),
        first=min(record.first for record in found if record.first is not None),
        last=max(record.last for record in found if record.last is not None),
        note=", ".join(
            f"{record.events} events on {record.connections} connections of {record.proxy}" for record in found
        ),
    )
