"""Hands of a rehearsal: bring about what a runbook says, and do what an operator asks for.

Whatever was injected is healed by what an operator does to it, or at the end; its evidence goes to the journal.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import cast

from faults.plan import LEASEHOLDER, ONE_NODE, Fault, Plan, RollingRestart, at, targets
from lab.arming import Evidence, arm
from lab.cleanup import to_its_end
from lab.clusters.base import Capability, HoldsLeases, LosesGateways
from lab.conducting import Live
from lab.errors import UsageError
from lab.history import FaultSpan
from lab.journal import Armed, Healed
from lab.runbook import incidents
from lab.runbook.application import Campaign, Door, Recycling
from lab.runbook.eyes import Eyes
from lab.runbook.forms import RESTORES
from lab.runbook.model import (
    NODE,
    Hot,
    Injection,
    Leak,
    Line,
    Queue,
    Recycle,
    Restore,
    Roll,
    Rotation,
    Sql,
    Stale,
    Storm,
    Strike,
)


@dataclass
class _Struck:
    """Something that was injected; *fault* is None for what strikes the application."""

    step: int
    says: str
    armed: float
    heal: incidents.Heal
    fault: Fault | None = None


class Hands(Eyes):
    """All that is done to a running cluster and its application, beside all that is seen of them."""

    def __init__(self, live: Live, campaign: Campaign, door: Door) -> None:
        super().__init__(live)
        self._live = live
        self._campaign = campaign
        self._door = door
        self._recycling = Recycling(live.engine)
        self._struck: list[_Struck] = []
        self._steps = 0
        self._out: set[str] = set()

    # --- what is injected -------------------------------------------------------------------------------------------

    async def inject(self, line: Line, seed: int) -> None:
        """Bring an incident about; LEASEHOLDER is found now, ONE_NODE drawn by *seed*."""
        says, fault = line.text, None
        began = self._live.recorder.now()
        if isinstance(line.action, Strike):
            fault = await self._aimed(line.action.fault, seed)
            says = str(fault)
        self._steps += 1
        self._live.recorder.record(Armed(self._steps, says, began))
        heal = await self._begin(cast("Injection", line.action), fault)
        self._struck.append(_Struck(self._steps, says, began, heal, fault))

    async def _begin(self, action: Injection, fault: Fault | None) -> incidents.Heal:
        match action:
            case Leak():
                return await incidents.leak(self._live, action)
            case Storm():
                return await incidents.storm(self._live, action)
            case Stale():
                return await incidents.stale(self._live, action)
            case Hot():
                return await incidents.hot(self._campaign, action)
            case Strike():
                return await arm(self._cluster, f"incident{self._steps}", cast("Fault", fault))

    async def _aimed(self, fault: Fault, seed: int) -> Fault:
        if fault.on == LEASEHOLDER:
            self.node = await cast("HoldsLeases", self._cluster).leaseholder()
            return replace(fault, on=self.node)
        if fault.on == NODE:
            return replace(fault, on=self.node)
        resolved = Plan((at(0, fault),), seed).resolve([node.name for node in self._cluster.nodes]).steps[0].fault
        if fault.on == ONE_NODE:
            self.node = resolved.on
        return resolved

    async def heal_all(self) -> None:
        """End whatever was injected and is still there, and let the application be as it was."""
        await self._heal(list(self._struck))
        for name in sorted(self._out):
            await self._rotate(name, out=False)
        await self._door.set(None)

    async def _heal(self, chosen: Iterable[_Struck]) -> None:
        for one in chosen:
            self._struck.remove(one)
            evidence = await one.heal()
            self._live.recorder.record(Healed(_span(one, self._live.recorder.now(), evidence)))

    # --- what is done -----------------------------------------------------------------------------------------------

    async def act(self, line: Line) -> str:
        """Do what an operator asks for, and return what came of it."""
        match line.action:
            case Sql(statement=statement):
                return (await self.sql(statement)).shown
            case Restore(verb=verb, on=on):
                return await self._restore(verb, on)
            case Rotation(on=on, out=out):
                for node in self.nodes(on):
                    await self._rotate(node.name, out=out)
                return "done"
            case Roll():
                return await self._roll()
            case Recycle():
                self._recycling.recycle()
                return "every connection is replaced when it is next asked for"
            case Queue(writers=writers):
                await self._door.set(writers)
                return f"at most {writers} at a time"
            case _:
                raise UsageError(f"'{line.text}' does nothing")

    async def _restore(self, verb: str, on: str) -> str:
        names = {on} if on == "server" else {node.name for node in self.nodes(on)}
        every = [node.name for node in self._cluster.nodes]
        ended = [
            one
            for one in self._struck
            if one.fault is not None
            and one.fault.kind in RESTORES[verb]
            and (one.fault.on == "server" or set(targets(one.fault, every)) <= names)
            and (one.fault.on != "server" or on == "server")
        ]
        if not ended:
            return "there was nothing of that kind to mend"
        await to_its_end(self._heal(ended))
        return "done"

    async def _rotate(self, name: str, *, out: bool) -> None:
        gateways = cast("LosesGateways", self._cluster)
        if out:
            self._out.add(name)
            await gateways.lose_gateway(name)
        elif name in self._out:
            await gateways.return_gateway(name)
            self._out.discard(name)

    async def _roll(self) -> str:
        """Drain and restart each node in turn; where nodes cannot be drained, their gateways stand for them."""
        if Capability.NODE_DRAIN in self._cluster.capabilities:
            await (await arm(self._cluster, "roll", RollingRestart()))()
        else:
            for node in self._cluster.nodes:
                await self._rotate(node.name, out=True)
                await self._rotate(node.name, out=False)
                await self._cluster.healthy(self._cluster.heals_within)
        return "every node has been away and is back"


def _span(one: _Struck, healed: float, evidence: Evidence) -> FaultSpan:
    return FaultSpan(
        one.step,
        one.says,
        one.armed,
        healed,
        evidence.events,
        evidence.connections,
        evidence.bytes,
        evidence.first,
        evidence.last,
        evidence.note,
    )
