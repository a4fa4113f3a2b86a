"""The only interpreter of plans: arms each step when its trigger comes, heals it, and brings in its evidence."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from faults.plan import LEASEHOLDER, After, At, BeforeCommit, Fault, Plan, Step
from lab.arming import arm
from lab.cleanup import together
from lab.clients import Clients
from lab.clusters.base import Cluster, HoldsLeases
from lab.history import FaultSpan
from lab.journal import Armed, Healed
from lab.observer import Observer
from lab.recorder import Recorder


class Injector:
    """Carries out a resolved plan on a cluster while clients work."""

    def __init__(self, cluster: Cluster, plan: Plan, clients: Clients, recorder: Recorder, observer: Observer) -> None:
        self._cluster = cluster
        self._plan = plan
        self._clients = clients
        self._recorder = recorder
        self._observer = observer

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
            fault = await self._aimed(step.fault)
            armed = self._recorder.now()
            self._recorder.record(Armed(number, str(fault), armed))
            self._observer.armed(str(fault))
            heal = await arm(self._cluster, f"step{number}", fault)
        try:
            await asyncio.sleep(step.lasting if isinstance(step.lasting, float | int) else 0)
        finally:
            evidence = await heal()
        span = FaultSpan(
            number,
            str(fault),
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

    async def _aimed(self, fault: Fault) -> Fault:
        """Return the fault with the leaseholder of this moment by its name."""
        if fault.on != LEASEHOLDER:
            return fault
        cluster = self._cluster
        if not isinstance(cluster, HoldsLeases):
            raise TypeError(f"{cluster.name} says that it holds leases, and cannot tell which")
        return replace(fault, on=await cluster.leaseholder())
