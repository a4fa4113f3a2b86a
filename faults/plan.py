"""Plans: faults with their triggers, as values. They read aloud, carry a seed, and go to JSON and back unchanged."""

from __future__ import annotations

import random as random_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from faults.errors import MalformedPlan
from faults.kinds import (
    EVERY_NODE,
    LEASEHOLDER,
    ONE_NODE,
    SERVER,
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
    fault_from_json,
    fault_to_json,
)
from faults.reading import field_of, mapping_of, only

__all__ = [
    "EVERY_NODE",
    "LEASEHOLDER",
    "ONE_NODE",
    "SERVER",
    "After",
    "At",
    "BeforeCommit",
    "Bend",
    "BendLinks",
    "Crash",
    "Cut",
    "Disconnect",
    "Down",
    "Drain",
    "Fault",
    "Isolate",
    "Kill",
    "Pause",
    "Plan",
    "RollingRestart",
    "Step",
    "Strike",
    "Vanish",
    "after",
    "at",
    "before_commit",
    "fault_to_json",
    "pulses",
    "targets",
]

Moment: TypeAlias = float | tuple[float, float]
"""Seconds, or a range of seconds from which the seed draws."""

Json: TypeAlias = dict[str, object]

LONGEST = 86_400.0
"""Seconds that a plan may ask for in one place: a day. More is a slip of the pen."""


@dataclass(frozen=True, slots=True)
class At:
    """Trigger: *seconds* after the workload has warmed up."""

    seconds: Moment
    kind: ClassVar[str] = "at"

    def __str__(self) -> str:
        """Say when."""
        return f"at {_seconds(self.seconds)}"


@dataclass(frozen=True, slots=True)
class After:
    """Trigger: when *operations* operations have been completed since the workload has warmed up."""

    operations: int
    kind: ClassVar[str] = "after"

    def __str__(self) -> str:
        """Say when."""
        return f"after {self.operations} operations"


@dataclass(frozen=True, slots=True)
class BeforeCommit:
    """Trigger: when the *number*-th write since the warm-up has run its statements and is about to COMMIT.

    That transaction waits until the fault is armed, so the fault meets the request or the reply of its COMMIT.
    """

    number: int
    kind: ClassVar[str] = "before_commit"

    def __str__(self) -> str:
        """Say when."""
        return f"before commit {self.number}"


Trigger: TypeAlias = At | After | BeforeCommit

TRIGGERS = (At.kind, After.kind, BeforeCommit.kind)


@dataclass(frozen=True, slots=True)
class Step:
    """A fault, when it is armed, and for how many seconds it lasts before it is healed (0: it is over at once)."""

    trigger: Trigger
    fault: Fault
    lasting: Moment = 0.0

    def __str__(self) -> str:
        """Say the step as a sentence without a verb."""
        span = f" for {_seconds(self.lasting)}" if self.lasting else ""
        return f"{self.trigger}: {self.fault}{span}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps, and the seed that decides what they leave open."""

    steps: tuple[Step, ...] = ()
    seed: int = 0

    def resolve(self, nodes: Sequence[str]) -> Plan:
        """Return the plan with every draw made: a node for ONE_NODE, a number for each range. Pure.

        LEASEHOLDER stays: which node that is depends on the moment when the fault is armed.

        Raises MalformedPlan if a step names a node that is not among *nodes*.
        """
        random = random_module.Random(f"{self.seed}/plan")
        return replace(self, steps=tuple(_resolve(step, nodes, random) for step in self.steps))

    def to_json(self) -> Json:
        """Return the plan as JSON data; `from_json` gives back an equal plan."""
        return {"seed": self.seed, "steps": [_step_to_json(step) for step in self.steps]}

    @classmethod
    def from_json(cls, data: object) -> Plan:
        """Build a plan from JSON data; raise MalformedPlan, naming the step, for anything that is no plan."""
        mapping = mapping_of(data, "plan")
        only(mapping, {"seed", "steps"}, "plan")
        steps = mapping.get("steps", [])
        if not isinstance(steps, list):
            raise MalformedPlan("plan: 'steps' must be a list")
        return cls(
            steps=tuple(_step_from_json(step, f"step {number}") for number, step in enumerate(steps, 1)),
            seed=field_of(mapping, "seed", int, "plan", default=0),
        )


def at(seconds: Moment, fault: Fault, *, lasting: Moment = 0.0) -> Step:
    """Arm *fault* at a time."""
    return Step(At(seconds), fault, lasting)


def after(operations: int, fault: Fault, *, lasting: Moment = 0.0) -> Step:
    """Arm *fault* when so many operations are done."""
    return Step(After(operations), fault, lasting)


def before_commit(number: int, fault: Fault, *, lasting: Moment = 0.02) -> Step:
    """Arm *fault* just before the *number*-th COMMIT, for long enough to meet it."""
    return Step(BeforeCommit(number), fault, lasting)


def pulses(times: int, fault: Fault, *, every: float, lasting: float, first: float = 0.0) -> tuple[Step, ...]:
    """Arm *fault* again and again: *times* times, *every* so many seconds from *first* on, each *lasting* seconds."""
    return tuple(at(round(first + number * every, 6), fault, lasting=lasting) for number in range(times))


def targets(fault: Fault, nodes: Sequence[str]) -> list[str]:
    """Return the nodes that a resolved fault strikes."""
    return list(nodes) if fault.on == EVERY_NODE else [fault.on]


def _resolve(step: Step, nodes: Sequence[str], random: random_module.Random) -> Step:
    trigger = At(_draw(step.trigger.seconds, random)) if isinstance(step.trigger, At) else step.trigger
    fault = replace(step.fault, on=random.choice(nodes)) if step.fault.on == ONE_NODE else step.fault
    if fault.on not in (*nodes, EVERY_NODE, LEASEHOLDER) and not (isinstance(fault, Crash) and fault.on == SERVER):
        raise MalformedPlan(f"'{step}': no node '{fault.on}', there are {', '.join(nodes)}")
    return Step(trigger, fault, _draw(step.lasting, random))


def _draw(moment: Moment, random: random_module.Random) -> float:
    if not isinstance(moment, tuple):
        return moment
    low, high = moment
    return min(max(low, round(random.uniform(low, high), 3)), high)


def _seconds(moment: Moment) -> str:
    return f"{moment[0]:g} to {moment[1]:g} s" if isinstance(moment, tuple) else f"{moment:g} s"


def _step_to_json(step: Step) -> Json:
    match step.trigger:
        case At(seconds=value):
            when: Json = {"at": value}
        case After(operations=value):
            when = {"after": value}
        case BeforeCommit(number=value):
            when = {"before_commit": value}
    return {**when, "fault": fault_to_json(step.fault), "lasting": step.lasting}


def _step_from_json(data: object, where: str) -> Step:
    mapping = mapping_of(data, where)
    only(mapping, {*TRIGGERS, "fault", "lasting"}, where)
    lasting = _moment(mapping.get("lasting", 0.0), f"{where}: 'lasting'")
    return Step(_trigger_from_json(mapping, where), fault_from_json(mapping.get("fault"), where), lasting)


def _trigger_from_json(mapping: Mapping[str, object], where: str) -> Trigger:
    given = [name for name in TRIGGERS if name in mapping]
    if len(given) != 1:
        raise MalformedPlan(f"{where}: needs one of 'at' (seconds), 'after' (operations), 'before_commit' (number)")
    if given == ["at"]:
        return At(_moment(mapping["at"], f"{where}: 'at'"))
    count = field_of(mapping, given[0], int, where)
    least = 1 if given == ["before_commit"] else 0
    if count < least:
        raise MalformedPlan(f"{where}: '{given[0]}' must be {least} or more, not {count}")
    return After(count) if given == ["after"] else BeforeCommit(count)


def _moment(value: object, where: str) -> Moment:
    if not isinstance(value, list | tuple):
        return _seconds_from_json(value, where)
    if len(value) != 2:
        raise MalformedPlan(f"{where} must be seconds or a range [from, to], not {value!r:.40}")
    low, high = (_seconds_from_json(part, where) for part in value)
    if low > high:
        raise MalformedPlan(f"{where} must be a range that goes up, not {value!r:.40}")
    return low, high


def _seconds_from_json(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= LONGEST:
        raise MalformedPlan(f"{where} must be seconds from 0 to {LONGEST:g}, not {value!r:.40}")
    return float(value)
