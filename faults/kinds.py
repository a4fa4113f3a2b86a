"""The kinds of faults, as values that go to JSON and back unchanged."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import msgspec

from faults.errors import BadRequest, MalformedPlan
from faults.link import Stream
from faults.pgwire.rules import Rule, rule_to_json
from faults.reading import field_of, mapping_of, only
from faults.rule_api import RuleRequest
from faults.topology import DIRECTIONS, Direction
from faults.toxics import Toxic, attributes_of, make_toxic

Json: TypeAlias = dict[str, object]

ONE_NODE = "one node"
"""Target: one node of the cluster, drawn by the seed when the plan is resolved."""

EVERY_NODE = "every node"
"""Target: all nodes of the cluster."""

LEASEHOLDER = "the leaseholder"
"""Target: the node that serves the workload's rows (in CockroachDB: holds their lease) when the fault is armed."""

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
        share = "" if self.toxicity == 1 else f" for {self.toxicity:.0%} of connections"
        return f"{_toxic_in_words(self.toxic)} {self.stream} of {self.on}{share}"


@dataclass(frozen=True, slots=True)
class Down:
    """The gateway of a node is lost: connections are cut, new ones are refused."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "down"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"gateway of {self.on} down"


@dataclass(frozen=True, slots=True)
class Vanish:
    """The host of a node's gateway is lost: nothing is acknowledged, refused or closed any more, until it is back."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "vanish"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"gateway of {self.on} vanished"


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


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule about moments of the conversation with a node; it is disarmed when the fault is healed."""

    rule: Rule
    on: str = EVERY_NODE
    kind: ClassVar[str] = "strike"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"rule {self.rule.name} at {self.on}"


@dataclass(frozen=True, slots=True)
class Kill:
    """A node is killed without warning, and started again when the fault is healed."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "kill"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} killed"


@dataclass(frozen=True, slots=True)
class Pause:
    """A node stands still: its connections stay, and it says nothing."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "pause"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} paused"


@dataclass(frozen=True, slots=True)
class Drain:
    """A node is taken out of service in an orderly way, and started again when the fault is healed."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "drain"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} drained"


@dataclass(frozen=True, slots=True)
class RollingRestart:
    """One node after the other is drained, ended and started again; it is over when the last one is back."""

    on: str = EVERY_NODE
    kind: ClassVar[str] = "rolling_restart"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} drained and restarted in turn"


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A node is taken off its network: nothing reaches it, and nothing says so."""

    on: str = ONE_NODE
    kind: ClassVar[str] = "disconnect"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{self.on} off the network"


@dataclass(frozen=True, slots=True)
class Isolate:
    """The links between a node and all others are cut, both ways or one; its clients still reach it."""

    on: str = ONE_NODE
    direction: Direction = "both"
    kind: ClassVar[str] = "isolate"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"links {_way(self.direction)} {self.on} cut"


@dataclass(frozen=True, slots=True)
class BendLinks:
    """A toxic on the links between a node and all others, on what the sender of each link sends."""

    toxic: Toxic
    on: str = EVERY_NODE
    direction: Direction = "both"
    kind: ClassVar[str] = "bend_links"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"{_toxic_in_words(self.toxic)} on links {_way(self.direction)} {self.on}"


Fault: TypeAlias = (
    Bend
    | Down
    | Vanish
    | Cut
    | Crash
    | Strike
    | Kill
    | Pause
    | Drain
    | RollingRestart
    | Disconnect
    | Isolate
    | BendLinks
)

_SIMPLE: dict[str, type[Down | Vanish | Cut | Crash | Kill | Pause | Drain | RollingRestart | Disconnect]] = {
    kind.kind: kind for kind in (Down, Vanish, Cut, Crash, Kill, Pause, Drain, RollingRestart, Disconnect)
}
"""Faults with no more to say than where they strike."""


def _way(direction: Direction) -> str:
    return {"both": "to and from", "to": "to", "from": "from"}[direction]


def _toxic_in_words(toxic: Toxic) -> str:
    return f"{toxic.kind}({', '.join(f'{name} {value:g}' for name, value in attributes_of(toxic).items())})"


def fault_to_json(fault: Fault) -> Json:
    """Return a fault as JSON data; a toxic is written as in Toxiproxy's API."""
    data: Json = {"kind": fault.kind, "on": fault.on}
    match fault:
        case Strike():
            return {**data, "rule": rule_to_json(fault.rule)}
        case Bend():
            return {**data, "toxic": _toxic_to_json(fault.toxic), "stream": fault.stream, "toxicity": fault.toxicity}
        case BendLinks():
            return {**data, "toxic": _toxic_to_json(fault.toxic), "direction": fault.direction}
        case Isolate():
            return {**data, "direction": fault.direction}
        case _:
            return data


def _toxic_to_json(toxic: Toxic) -> Json:
    return {"type": toxic.kind, "attributes": attributes_of(toxic)}


def fault_from_json(data: object, where: str) -> Fault:
    """Build a fault from JSON data; raise MalformedPlan, beginning with *where*, for anything that is none."""
    mapping = mapping_of(data, f"{where}: fault")
    kind = mapping.get("kind")
    if isinstance(kind, str) and kind in _SIMPLE:
        only(mapping, {"kind", "on"}, where)
        return _SIMPLE[kind](field_of(mapping, "on", str, where, default=_SIMPLE[kind]().on))
    others: dict[str, Callable[[Mapping[str, object], str], Fault]] = {
        "bend": _bend_from_json,
        "strike": _strike_from_json,
        "isolate": _isolate_from_json,
        "bend_links": _bend_links_from_json,
    }
    if not isinstance(kind, str) or kind not in others:
        raise MalformedPlan(f"{where}: unknown fault {kind!r}, known: {', '.join((*others, *_SIMPLE))}")
    return others[kind](mapping, where)


def _bend_from_json(mapping: Mapping[str, object], where: str) -> Bend:
    only(mapping, {"kind", "on", "toxic", "stream", "toxicity"}, where)
    on = field_of(mapping, "on", str, where, default=EVERY_NODE)
    stream = mapping.get("stream", "downstream")
    if stream not in ("upstream", "downstream"):
        raise MalformedPlan(f"{where}: stream must be upstream or downstream, not {stream!r}")
    toxicity = mapping.get("toxicity", 1.0)
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
        raise MalformedPlan(f"{where}: toxicity must be a number from 0 to 1, not {toxicity!r}")
    return Bend(_toxic_from_json(mapping, where), on, stream, float(toxicity))


def _bend_links_from_json(mapping: Mapping[str, object], where: str) -> BendLinks:
    only(mapping, {"kind", "on", "toxic", "direction"}, where)
    on = field_of(mapping, "on", str, where, default=EVERY_NODE)
    return BendLinks(_toxic_from_json(mapping, where), on, _direction_from_json(mapping, where))


def _isolate_from_json(mapping: Mapping[str, object], where: str) -> Isolate:
    only(mapping, {"kind", "on", "direction"}, where)
    return Isolate(field_of(mapping, "on", str, where, default=ONE_NODE), _direction_from_json(mapping, where))


def _direction_from_json(mapping: Mapping[str, object], where: str) -> Direction:
    direction = mapping.get("direction", "both")
    if direction not in DIRECTIONS:
        raise MalformedPlan(f"{where}: direction must be one of {', '.join(DIRECTIONS)}, not {direction!r}")
    return direction


def _toxic_from_json(mapping: Mapping[str, object], where: str) -> Toxic:
    toxic = mapping_of(mapping.get("toxic"), f"{where}: toxic")
    only(toxic, {"type", "attributes"}, f"{where}: toxic")
    attributes = mapping_of(toxic.get("attributes", {}), f"{where}: attributes")
    try:
        return make_toxic(field_of(toxic, "type", str, where), attributes)
    except BadRequest as error:
        raise MalformedPlan(f"{where}: {error}") from error


def _strike_from_json(mapping: Mapping[str, object], where: str) -> Strike:
    only(mapping, {"kind", "on", "rule"}, where)
    try:
        request = msgspec.convert(mapping_of(mapping.get("rule"), f"{where}: rule"), RuleRequest)
        return Strike(request.rule(), field_of(mapping, "on", str, where, default=EVERY_NODE))
    except (BadRequest, msgspec.ValidationError) as error:
        raise MalformedPlan(f"{where}: rule: {error}") from error
