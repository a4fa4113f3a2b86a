"""Plans: faults with their triggers, as values. They read aloud, carry a seed, and go to JSON and back unchanged."""

from __future__ import annotations

import random as random_module
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias, TypeVar

from faults.errors import BadRequest, MalformedPlan
from faults.link import Stream
from faults.toxics import Toxic, attributes_of, make_toxic

ONE_NODE = "one node"
"""Target: one node of the cluster, drawn by the seed when the plan is resolved."""

EVERY_NODE = "every node"
"""Target: all nodes of the cluster."""

Moment: TypeAlias = float | tuple[float, float]
"""Seconds, or a range of seconds from which the seed draws."""

Json: TypeAlias = dict[str, object]

LONGEST = 86_400.0
"""Seconds that a plan may ask for in one place: a day. More is a slip of the pen."""

SERVER = "server"
"""Target of a crash: the database server, where a cluster has but one."""


@dataclass(frozen=True, slots=True)
class Bend:
    """A toxic on one stream of a node's proxy; *toxicity* is the share of connections that it takes hold of."""

    toxic: Toxic
    on: str = EVERY_NODE
    stream: Stream = "downstream"
    toxicity: float = 1.0
    kind: ClassVar[str] = "bend"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        values = ", ".join(f"{name} {value:g}" for name, value in attributes_of(self.toxic).items())
        share = "" if self.toxicity == 1 else f" for {self.toxicity:.0%} of connections"
        return f"{self.toxic.kind}({values}) {self.stream} of {self.on}{share}"


@dataclass(frozen=True, slots=True)
class Down:
    """The gateway of a node is lost: connections are cut, new ones are refused."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "down"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"gateway of {self.on} down"


@dataclass(frozen=True, slots=True)
class Cut:
    """Every live connection through a node's gateway is reset once; new ones are welcome."""

    on: str = EVERY_NODE
    kind: ClassVar[str] = "cut"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"connections of {self.on} reset"


@dataclass(frozen=True, slots=True)
class Crash:
    """The database server is killed without warning, and started again when the fault is healed."""

    on: str = SERVER
    kind: ClassVar[str] = "crash"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} crashed"


Fault: TypeAlias = Bend | Down | Cut | Crash


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
        mapping = _mapping(data, "plan")
        _only(mapping, {"seed", "steps"}, "plan")
        steps = mapping.get("steps", [])
        if not isinstance(steps, list):
            raise MalformedPlan("plan: 'steps' must be a list")
        return cls(
            steps=tuple(_step_from_json(step, f"step {number}") for number, step in enumerate(steps, 1)),
            seed=_field(mapping, "seed", int, "plan", default=0),
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
    if fault.on not in (*nodes, EVERY_NODE) and not (isinstance(fault, Crash) and fault.on == SERVER):
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


def fault_to_json(fault: Fault) -> Json:
    """Return a fault as JSON data; a toxic is written as in Toxiproxy's API."""
    if not isinstance(fault, Bend):
        return {"kind": fault.kind, "on": fault.on}
    toxic = {"type": fault.toxic.kind, "attributes": attributes_of(fault.toxic)}
    return {"kind": "bend", "on": fault.on, "toxic": toxic, "stream": fault.stream, "toxicity": fault.toxicity}


def _step_from_json(data: object, where: str) -> Step:
    mapping = _mapping(data, where)
    _only(mapping, {*TRIGGERS, "fault", "lasting"}, where)
    lasting = _moment(mapping.get("lasting", 0.0), f"{where}: 'lasting'")
    return Step(_trigger_from_json(mapping, where), _fault_from_json(mapping.get("fault"), where), lasting)


def _trigger_from_json(mapping: Mapping[str, object], where: str) -> Trigger:
    given = [name for name in TRIGGERS if name in mapping]
    if len(given) != 1:
        raise MalformedPlan(f"{where}: needs one of 'at' (seconds), 'after' (operations), 'before_commit' (number)")
    if given == ["at"]:
        return At(_moment(mapping["at"], f"{where}: 'at'"))
    count = _field(mapping, given[0], int, where)
    least = 1 if given == ["before_commit"] else 0
    if count < least:
        raise MalformedPlan(f"{where}: '{given[0]}' must be {least} or more, not {count}")
    return After(count) if given == ["after"] else BeforeCommit(count)


def _fault_from_json(data: object, where: str) -> Fault:
    mapping = _mapping(data, f"{where}: fault")
    simple: dict[str, type[Down | Cut | Crash]] = {"down": Down, "cut": Cut, "crash": Crash}
    kind = mapping.get("kind")
    if isinstance(kind, str) and kind in simple:
        _only(mapping, {"kind", "on"}, where)
        return simple[kind](_field(mapping, "on", str, where, default=simple[kind]().on))
    if kind != "bend":
        raise MalformedPlan(f"{where}: unknown fault {kind!r}, known: bend, {', '.join(simple)}")
    _only(mapping, {"kind", "on", "toxic", "stream", "toxicity"}, where)
    return _bend_from_json(mapping, where)


def _bend_from_json(mapping: Mapping[str, object], where: str) -> Bend:
    on = _field(mapping, "on", str, where, default=EVERY_NODE)
    toxic = _mapping(mapping.get("toxic"), f"{where}: toxic")
    _only(toxic, {"type", "attributes"}, f"{where}: toxic")
    stream = mapping.get("stream", "downstream")
    if stream not in ("upstream", "downstream"):
        raise MalformedPlan(f"{where}: stream must be upstream or downstream, not {stream!r}")
    toxicity = mapping.get("toxicity", 1.0)
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
        raise MalformedPlan(f"{where}: toxicity must be a number from 0 to 1, not {toxicity!r}")
    try:
        made = make_toxic(
            _field(toxic, "type", str, where), _mapping(toxic.get("attributes", {}), f"{where}: attributes")
        )
    except BadRequest as error:
        raise MalformedPlan(f"{where}: {error}") from error
    return Bend(made, on, stream, float(toxicity))


def _mapping(data: object, where: str) -> Mapping[str, object]:
    if not isinstance(data, dict):
        raise MalformedPlan(f"{where}: must be an object, not {data!r:.40}")
    return data


def _only(mapping: Mapping[str, object], known: set[str], where: str) -> None:
    for name in mapping:
        if name not in known:
            raise MalformedPlan(f"{where}: unknown field '{name}', known: {', '.join(sorted(known))}")


_Field = TypeVar("_Field", int, str)

WORDS: dict[type, str] = {int: "whole number", str: "text"}


def _field(
    mapping: Mapping[str, object], name: str, kind: type[_Field], where: str, default: _Field | None = None
) -> _Field:
    value = mapping.get(name, default)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise MalformedPlan(f"{where}: '{name}' must be a {WORDS[kind]}, not {value!r:.40}")
    return value


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
