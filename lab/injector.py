"""The only interpreter of plans: arms each step when its trigger comes, heals it, and brings in its evidence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, replace

from faults.client import EvidenceInfo, FiringInfo
from faults.plan import (
    EVERY_NODE,
    After,
    At,
    BeforeCommit,
    Bend,
    Crash,
    Cut,
    Down,
    Fault,
    Plan,
    Step,
    Strike,
    targets,
)
from lab.cleanup import all_of, together
from lab.clients import Clients
from lab.clusters.base import Cluster, CrashesServer, LosesGateways
from lab.history import FaultSpan
from lab.journal import Armed, Healed
from lab.observer import Observer
from lab.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a fault did, summed up over its targets."""

    events: int = 0
    connections: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    note: str = ""


Heal = Callable[[], Awaitable[Evidence]]


class Injector:
    """Carries out a resolved plan on a cluster while clients work."""

    def __init__(self, cluster: Cluster, plan: Plan, clients: Clients, recorder: Recorder, observer: Observer) -> None:
        self._cluster = cluster
        self._plan = plan
        self._clients = clients
        self._recorder = recorder
        self._observer = observer
        self._nodes = [node.name for node in cluster.nodes]

    async def run(self) -> None:
        """Carry out every step; times and operations count from now. Each step is healed, also when cancelled."""
        await self._cluster.control.forget_evidence()
        await self._cluster.control.forget_firings()
        since, done = self._recorder.now(), self._clients.completed
        held = [step.trigger.number for step in self._plan.steps if isinstance(step.trigger, BeforeCommit)]
        with self._clients.gates_before_commits(held):
            async with together() as steps:
                for number, step in enumerate(self._plan.steps, 1):
                    steps.create_task(self._carry_out(number, step, since, done))

    async def _carry_out(self, number: int, step: Step, since: float, done: int) -> None:
        async with self._triggered(step, since, done):
            armed = self._recorder.now()
            self._recorder.record(Armed(number, str(step.fault), armed))
            self._observer.armed(str(step.fault))
            heal = await self._arm(f"step{number}", step.fault)
        try:
            await asyncio.sleep(step.lasting if isinstance(step.lasting, float | int) else 0)
        finally:
            evidence = await heal()
        span = FaultSpan(
            number,
            str(step.fault),
            armed,
            self._recorder.now(),
            evidence.events,
            evidence.connections,
            evidence.bytes,
            evidence.first,
            evidence.last,
            evidence.note,
        )
        self._recorder.record(Healed(span))
        self._observer.healed(span)

    @contextlib.asynccontextmanager
    async def _triggered(self, step: Step, since: float, done: int) -> AsyncIterator[None]:
        """Wait for the trigger; what waits for the fault in its turn goes on when the block is left."""
        match step.trigger:
            case At(seconds=float() | int() as seconds):
                await asyncio.sleep(since + seconds - self._recorder.now())
                yield
            case After(operations=operations):
                await self._clients.operations_done(done + operations)
                yield
            case BeforeCommit(number=commit):
                async with self._clients.held_before_commit(commit):
                    yield
            case _:
                raise ValueError(f"the plan is not resolved: {step}")

    async def _arm(self, name: str, fault: Fault) -> Heal:
        nodes = targets(fault, self._nodes)
        match fault:
            case Bend():
                return await self._bend(name, fault, nodes)
            case Down():
                return await self._down(nodes)
            case Cut():
                return await self._cut(nodes)
            case Crash():
                return await self._crash()
            case Strike():
                return await self._strike(name, fault)

    async def _bend(self, name: str, fault: Bend, nodes: list[str]) -> Heal:
        control = self._cluster.control

        async def heal() -> Evidence:
            await all_of(*(control.remove(node, name) for node in nodes))
            return _sum(e for e in await control.evidence() if e.name == name and e.proxy in nodes)

        add = (
            control.add(node, fault.toxic, name=name, stream=fault.stream, toxicity=fault.toxicity) for node in nodes
        )
        await all_of(*add)
        return heal

    async def _down(self, nodes: list[str]) -> Heal:
        cluster = self._cluster
        if not isinstance(cluster, LosesGateways):
            raise TypeError(f"{cluster.name} says that it can lose gateways, and cannot")
        gateways = cluster

        async def heal() -> Evidence:
            await all_of(*(gateways.return_gateway(node) for node in nodes))
            return _sum(_latest(await cluster.control.evidence(), "down", nodes))

        await all_of(*(gateways.lose_gateway(node) for node in nodes))
        return heal

    async def _cut(self, nodes: list[str]) -> Heal:
        control = self._cluster.control
        await all_of(*(control.reset_connections(node) for node in nodes))
        evidence = _sum(_latest(await control.evidence(), "cut", nodes))

        async def heal() -> Evidence:
            return evidence

        return heal

    async def _strike(self, name: str, fault: Strike) -> Heal:
        control = self._cluster.control
        proxy = "*" if fault.on == EVERY_NODE else fault.on
        rule = replace(fault.rule, name=name, where=replace(fault.rule.where, proxy=proxy))

        async def heal() -> Evidence:
            await control.disarm(name)
            return _struck([firing for firing in await control.firings() if firing.rule == name])

        await control.arm(rule)
        return heal

    async def _crash(self) -> Heal:
        cluster = self._cluster
        if not isinstance(cluster, CrashesServer):
            raise TypeError(f"{cluster.name} says that its server can be crashed, and it cannot")
        server = cluster
        killed = await server.crash_server()

        async def heal() -> Evidence:
            await server.restart_server()
            return Evidence(events=killed, note=f"{killed} server processes killed")

        return heal


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
