"""The kinds of faults, as values that go to JSON and back unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import msgspec

from faults.errors import BadRequest, MalformedPlan
from faults.link import Stream
from faults.pgwire.rules import Rule, rule_to_json
from faults.reading import field_of, mapping_of, only
from faults.rule_api import RuleRequest
from faults.toxics import Toxic, attributes_of, make_toxic

Json: TypeAlias = dict[str, object]

ONE_NODE = "one node"
"""Target: one node of the cluster, drawn by the seed when the plan is resolved."""

EVERY_NODE = "every node"
"""Target: all nodes of the cluster."""

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


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule about moments of the conversation with a node; it is disarmed when the fault is healed."""

    rule: Rule
    on: str = EVERY_NODE
    kind: ClassVar[str] = "strike"

    def __str__(self) -> str:
        """Say what it does in a few words."""
        return f"rule {self.rule.name} at {self.on}"


Fault: TypeAlias = Bend | Down | Cut | Crash | Strike


def fault_to_json(fault: Fault) -> Json:
    """Return a fault as JSON data; a toxic is written as in Toxiproxy's API."""
    if isinstance(fault, Strike):
        return {"kind": "strike", "on": fault.on, "rule": rule_to_json(fault.rule)}
    if not isinstance(fault, Bend):
        return {"kind": fault.kind, "on": fault.on}
    toxic = {"type": fault.toxic.kind, "attributes": attributes_of(fault.toxic)}
    return {"kind": "bend", "on": fault.on, "toxic": toxic, "stream": fault.stream, "toxicity": fault.toxicity}


def fault_from_json(data: object, where: str) -> Fault:
    """Build a fault from JSON data; raise MalformedPlan, beginning with *where*, for anything that is none."""
    mapping = mapping_of(data, f"{where}: fault")
    simple: dict[str, type[Down | Cut | Crash]] = {"down": Down, "cut": Cut, "crash": Crash}
    kind = mapping.get("kind")
    if isinstance(kind, str) and kind in simple:
        only(mapping, {"kind", "on"}, where)
        return simple[kind](field_of(mapping, "on", str, where, default=simple[kind]().on))
    if kind == "strike":
        only(mapping, {"kind", "on", "rule"}, where)
        return _strike_from_json(mapping, where)
    if kind != "bend":
        raise MalformedPlan(f"{where}: unknown fault {kind!r}, known: bend, strike, {', '.join(simple)}")
    only(mapping, {"kind", "on", "toxic", "stream", "toxicity"}, where)
    return _bend_from_json(mapping, where)


def _bend_from_json(mapping: Mapping[str, object], where: str) -> Bend:
    on = field_of(mapping, "on", str, where, default=EVERY_NODE)
    toxic = mapping_of(mapping.get("toxic"), f"{where}: toxic")
    only(toxic, {"type", "attributes"}, f"{where}: toxic")
    stream = mapping.get("stream", "downstream")
    if stream not in ("upstream", "downstream"):
        raise MalformedPlan(f"{where}: stream must be upstream or downstream, not {stream!r}")
    toxicity = mapping.get("toxicity", 1.0)
    if isinstance(toxicity, bool) or not isinstance(toxicity, int | float) or not 0 <= toxicity <= 1:
        raise MalformedPlan(f"{where}: toxicity must be a number from 0 to 1, not {toxicity!r}")
    try:
        made = make_toxic(
            field_of(toxic, "type", str, where), mapping_of(toxic.get("attributes", {}), f"{where}: attributes")
        )
    except BadRequest as error:
        raise MalformedPlan(f"{where}: {error}") from error
    return Bend(made, on, stream, float(toxicity))


def _strike_from_json(mapping: Mapping[str, object], where: str) -> Strike:
    try:
        request = msgspec.convert(mapping_of(mapping.get("rule"), f"{where}: rule"), RuleRequest)
        return Strike(request.rule(), field_of(mapping, "on", str, where, default=EVERY_NODE))
    except (BadRequest, msgspec.ValidationError) as error:
        raise MalformedPlan(f"{where}: rule: {error}") from error
