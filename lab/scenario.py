"""A scenario: cluster needs, workload, policy, plan and checks, as one value that reads like a sentence."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from faults.plan import Step
from lab.checks import connections_returned, exactly_once, faults_fired
from lab.clusters.base import Capability, needs_of
from lab.db.drivers import Driver
from lab.db.engine import IsolationLevel
from lab.retry import Policy
from lab.verdict import Check
from lab.workloads.base import Workload
from lab.workloads.provoked import Provoked

SOUND = (exactly_once(), connections_returned())
"""What holds in every scenario with every workload: each effect once, and nothing left behind."""


HURTS_NODES = frozenset(
    {
        Capability.NODE_KILL,
        Capability.NODE_PAUSE,
        Capability.NODE_DRAIN,
        Capability.NODE_DISCONNECT,
        Capability.NODE_LINKS,
        Capability.LEASES,
    }
)
"""Capabilities of which a scenario makes sense only once the data is on every node."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """What the application asks of its engine; see `lab.db.engine.resilient_engine`. Times are in seconds."""

    driver: Driver = "asyncpg"
    pool_pre_ping: bool = True
    pool_timeout: float = 5.0
    connect_timeout: float = 1.0
    command_timeout: float = 2.0
    statement_timeout: float | None = 2.0
    pool_recycle: float = 300.0
    isolation_level: IsolationLevel = "SERIALIZABLE"

    def arguments(self) -> dict[str, Any]:
        """Return the settings as keyword arguments of `resilient_engine`."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One experiment. *clients* work at once, each pausing 0 to 2 * *think* seconds between operations.

    The workload goes on for *seconds* at least, for as long as the plan takes, and until every client was served again
    (*settle* seconds at most); an operation that has not ended *drain* seconds after that is given up as unknown. Steps
    of the plan whose trigger has not come after *patience* seconds are given up: the verdict will be inconclusive.
    Writes go through *policy*; reads are the lab's own observations, and give up after *read_deadline* seconds.
    *expect* is what the scenario itself claims; what its workload and every scenario claim is in `checks`.
    """

    name: str
    title: str
    workload: Workload
    policy: Policy
    expect: tuple[Check, ...]
    plan: tuple[Step, ...] = ()
    engine: EngineSettings = field(default_factory=EngineSettings)
    clients: int = 6
    think: float = 0.005
    seconds: float = 1.0
    settle: float = 5.0
    drain: float = 5.0
    patience: float = 30.0
    read_deadline: float = 15.0
    also_needs: frozenset[Capability] = frozenset()

    @property
    def needs(self) -> frozenset[Capability]:
        """What the cluster must be able to do: as the plan's faults have it, and *also_needs*."""
        return needs_of(step.fault for step in self.plan) | self.also_needs

    @property
    def checks(self) -> tuple[Check, ...]:
        """All that it is judged by: the faults fired, the data is right, nothing is left behind, and *expect*."""
        return (faults_fired(), *self.workload.checks, *SOUND, *self.expect)

    def with_workload(self, workload: Workload) -> Scenario:
        """Return the scenario with another workload, which its title names, within whatever is wrapped around its own.

        One that has a workload of this name already keeps it, with the size that it was given on purpose.
        """
        within = _within(self.workload, workload)
        if within.name == self.workload.name:
            return self
        return replace(self, workload=within, title=f"{within.name}: {self.title}")

    def with_isolation(self, level: IsolationLevel) -> Scenario:
        """Return the scenario at another isolation level, which its title names: what would it let through?"""
        return replace(self, engine=replace(self.engine, isolation_level=level), title=f"{level}: {self.title}")

    @property
    def hurts_nodes(self) -> bool:
        """Whether it makes sense only once the data is on every node."""
        return bool(self.needs & HURTS_NODES)

    @property
    def policy_name(self) -> str:
        """The policy's name in reports."""
        return getattr(self.policy, "__name__", None) or type(self.policy).__name__


def _within(outer: Workload, workload: Workload) -> Workload:
    return replace(outer, inner=_within(outer.inner, workload)) if isinstance(outer, Provoked) else workload
