"""Faults in a test: armed for a block or until the test ends, with the evidence that they struck."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, TypeVar

from faults.client import FiringInfo
from faults.pgwire.rules import Rule
from faults.plan import ONE_NODE, Bend, Fault, Strike, targets
from faults.toxics import Toxic
from lab.arming import Evidence, Heal, arm
from lab.clusters.base import Capability, lacking, missing_of, needs_of
from lab.errors import UsageError
from lab.testing.cluster import LabCluster
from lab.testing.moments import named_fault

T = TypeVar("T")

SETTLING = 1.0
"""Seconds that the proxy has to hear the server's answer to a statement that a fault has struck."""

POLL = 0.01


class NotFired(AssertionError):
    """A fault left no evidence that it struck: whatever the test saw, it says nothing about that fault."""


@dataclass(eq=False)
class ArmedFault:
    """A fault of a test: `with` it (or `async with` it, which does not hold up your loop), or `arm` and `heal` it.

    At the end of a block that raised nothing, and at the end of a test that passed, it must have struck at least once,
    else NotFired is raised; with *must_fire* False that is not asked.
    """

    lab: LabCluster = field(repr=False)
    name: str
    fault: Fault
    must_fire: bool = True
    _heal: Heal | None = field(default=None, repr=False)
    _firings: tuple[FiringInfo, ...] = field(default=(), repr=False)
    _evidence: Evidence | None = field(default=None, repr=False)

    def arm(self) -> ArmedFault:
        """Put it in force, and return it."""
        self.lab.call(self._arm())
        return self

    def heal(self) -> None:
        """Take it away. Idempotent."""
        self.lab.call(self._undo())

    @property
    def firings(self) -> tuple[FiringInfo, ...]:
        """Each statement that a rule has struck, with the truth: was it *forwarded*, what did the server *answer*."""
        return self._firings if self._healed else self.lab.call(self._look())

    @property
    def fired(self) -> int:
        """How often it has struck: statements of a rule, events of a toxic. A lost gateway or server: once healed."""
        return self.evidence.events

    @property
    def applied(self) -> int:
        """How many of the statements struck the server has done, whatever the client was told."""
        return sum(one.forwarded and (one.answer or "").startswith(one.statement) for one in self.firings)

    @property
    def evidence(self) -> Evidence:
        """What it did, as far as that is known."""
        return self._evidence or self.lab.call(self._so_far())

    def assert_fired(self, times: int | None = None) -> None:
        """Raise NotFired unless it has struck, exactly *times* times if that is given."""
        found = self.evidence
        if times is not None and found.events != times:
            raise NotFired(f"fault '{self.name}' struck {found.events} times instead of {times}")
        if not found.events:
            why = found.note or "it touched nothing"
            raise NotFired(f"fault '{self.name}' did not strike ({why}): the test shows nothing about it")

    def verify(self) -> None:
        """Raise NotFired if it was armed, has to strike, and did not; once, for it is asked again when a test ends."""
        if self.must_fire and self._evidence is not None:
            self.must_fire = False
            self.assert_fired()

    @property
    def was_armed(self) -> bool:
        """Whether it has been in force."""
        return self._heal is not None or self._healed

    def summary(self) -> dict[str, str | int]:
        """Return what it did, for reports."""
        found = self._evidence or Evidence(note="it could not be healed")
        return {"fault": self.name, "events": found.events, "applied": self.applied, "note": found.note}

    def __enter__(self) -> ArmedFault:
        """Arm it."""
        return self.arm()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Heal it, and verify that it struck."""
        self.heal()
        if error is None:
            self.verify()

    async def __aenter__(self) -> ArmedFault:
        """Arm it while your loop goes on."""
        await self._beside(self._arm())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Heal it while your loop goes on, and verify that it struck."""
        await self._beside(self._undo())
        if error is None:
            self.verify()

    @property
    def _healed(self) -> bool:
        return self._evidence is not None

    async def _beside(self, work: Coroutine[Any, Any, T]) -> T:
        return await asyncio.wrap_future(self.lab.begin(work))

    async def _arm(self) -> None:
        if self._heal is not None or self._healed:
            raise UsageError(f"fault '{self.name}' was armed already: ask lab_faults for another")
        self._heal = await arm(self.lab.cluster, self.name, self.fault)

    async def _undo(self) -> None:
        heal, self._heal = self._heal, None
        if heal is not None:
            await self._settled()
            self._firings = await self._look()
            self._evidence = await heal()

    async def _settled(self) -> None:
        """Wait until what was forwarded has been answered, so that the truth is known."""
        ends = time.monotonic() + SETTLING
        while any(one.forwarded and one.answer is None for one in await self._look()):
            if time.monotonic() > ends:
                return
            await asyncio.sleep(POLL)

    async def _look(self) -> tuple[FiringInfo, ...]:
        return tuple(one for one in await self.lab.cluster.control.firings() if one.rule == self.name)

    async def _so_far(self) -> Evidence:
        control = self.lab.cluster.control
        if isinstance(self.fault, Strike):
            return Evidence(events=len(await self._look()), note="no statement matched")
        if isinstance(self.fault, Bend):
            nodes = targets(self.fault, [node.name for node in self.lab.nodes])
            found = [one for one in await control.evidence() if one.name == self.name and one.proxy in nodes]
            return Evidence(events=sum(one.events for one in found), note="it touched no connection")
        return Evidence(note="it is known once it is healed")


class LabFaults:
    """Faults for one test; all of them are healed when the test ends, however it ends."""

    def __init__(self, lab: LabCluster) -> None:
        self._lab = lab
        self.all: list[ArmedFault] = []

    def __call__(
        self,
        fault: str | Rule | Toxic | Fault,
        *,
        nth: int = 1,
        times: int = 1,
        on: str | None = None,
        application_name: str | None = None,
        must_fire: bool = True,
    ) -> ArmedFault:
        """Return a fault that is not armed yet: a name of docs/pytest.md, a rule, a toxic, or a fault of faults.plan.

        *nth*, *times*: which COMMITs (or writes) a named rule strikes. *on*: one node's gateway instead of all (of one
        that is lost: instead of the first). *application_name*: only sessions called so (a rule's; * as in file names).
        Raises UsageError for what does not exist and NotCapable if the cluster cannot do it.
        """
        name = fault if isinstance(fault, str) else type(fault).__name__.lower()
        found = as_fault(fault, nth=nth, times=times)
        if application_name is not None:
            if not isinstance(found, Strike):
                raise UsageError(f"'{name}' is no rule: it cannot choose sessions by application_name")
            where = replace(found.rule.where, application_name=application_name)
            found = replace(found, rule=replace(found.rule, where=where))
        missing = missing_of(self._lab.cluster, needs_of([found]))
        if missing:
            raise lacking(self._lab.cluster, missing, f"fault '{name}'")
        armed = ArmedFault(self._lab, f"{name}#{len(self.all) + 1}", self._somewhere(found, on), must_fire)
        self.all.append(armed)
        return armed

    def arm(self, fault: str | Rule | Toxic | Fault, **options: Any) -> ArmedFault:
        """Arm a fault until it is healed, or the test ends."""
        return self(fault, **options).arm()

    def heal(self) -> None:
        """Heal all that is armed, the last one first; each is tried, whatever becomes of the others."""
        trouble: BaseException | None = None
        for fault in reversed(self.all):
            try:
                fault.heal()
            except Exception as error:
                trouble = trouble or error
        if trouble is not None:
            raise trouble

    def silent(self) -> NotFired | None:
        """Return the error for the first fault that was armed, had to strike, and did not; None if all did."""
        for fault in self.all:
            try:
                fault.verify()
            except NotFired as error:
                return error
        return None

    def _somewhere(self, fault: Fault, on: str | None) -> Fault:
        nodes = [node.name for node in self._lab.nodes]
        if on is not None and on not in nodes:
            raise UsageError(f"no node '{on}': there are {', '.join(nodes)}")
        if on is None and fault.on == ONE_NODE:
            on = nodes[0]  # where lab_url leads, and the first connection of lab_engine
        return fault if on is None else replace(fault, on=on)


def as_fault(fault: str | Rule | Toxic | Fault, *, nth: int = 1, times: int = 1) -> Fault:
    """Return what users may write as a fault; raise UsageError, in one line, for anything else."""
    if isinstance(fault, str):
        return named_fault(fault, nth=nth, times=times)
    if isinstance(fault, Rule):
        return Strike(fault)
    if isinstance(fault, Toxic):
        return Bend(fault)
    if isinstance(fault, Fault):
        return fault
    raise UsageError(f"a fault is a name, a rule, a toxic or a fault of faults.plan, not {fault!r:.60}")


def needed_by(faults: list[str | Rule | Toxic | Fault]) -> frozenset[Capability]:
    """Return what a cluster has to be able to do for these faults."""
    return needs_of(as_fault(one) for one in faults)
