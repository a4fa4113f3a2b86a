"""The records of a journal, one a line: what is going to happen, what begins and ends, what was seen and found."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from lab.history import FaultSpan, Final, Json, Outcome
from lab.verdict import Finding, Verdict

FORMAT = 2
"""Version of the format; a reader refuses a newer one. 2: with gauges of the pool."""


class Run(msgspec.Struct, frozen=True, tag="run", tag_field="record"):
    """First line: what is going to happen. *started* is RFC 3339; *plan* as in faults.plan, resolved.

    *workload* is empty in journals that are older than the choice: it was the scenario's own. *asked* are the words of
    a command line that choose the cluster, where it was chosen by some (`ClusterChoice.arguments`).
    """

    scenario: str
    cluster: str
    seed: int
    policy: str
    started: str
    plan: dict[str, Json]
    versions: dict[str, str]
    format: int = FORMAT
    workload: str = ""
    isolation: str = "SERIALIZABLE"
    asked: tuple[str, ...] = ()


class Invoked(msgspec.Struct, frozen=True, tag="invoke", tag_field="record"):
    """An operation begins, *at* seconds after the start."""

    index: int
    process: int
    kind: str
    value: Json
    at: float
    unit: str | None = None


class Completed(msgspec.Struct, frozen=True, tag="complete", tag_field="record"):
    """An operation has ended."""

    index: int
    outcome: Outcome
    at: float
    result: Json = None
    attempts: int = 0
    errors: tuple[str, ...] = ()


class Phase(msgspec.Struct, frozen=True, tag="phase", tag_field="record"):
    """The run enters a phase: setting up, warming up, striking, recovering, checking."""

    name: str
    at: float


class Armed(msgspec.Struct, frozen=True, tag="armed", tag_field="record"):
    """A step of the plan takes effect."""

    step: int
    fault: str
    at: float


class Gauge(msgspec.Struct, frozen=True, tag="gauge", tag_field="record"):
    """The application's pool as it was *at* so many seconds: its *size*, connections *open* and *checked_out*."""

    at: float
    size: int
    open: int
    checked_out: int


class Healed(msgspec.Struct, frozen=True, tag="healed", tag_field="record"):
    """A step of the plan is over; its span carries the evidence."""

    span: FaultSpan


class Ended(msgspec.Struct, frozen=True, tag="final", tag_field="record"):
    """The final observations."""

    final: Final


class Judged(msgspec.Struct, frozen=True, tag="finding", tag_field="record"):
    """What a check found."""

    finding: Finding


class Closed(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """Last line: the verdict of the whole scenario, after *seconds*."""

    verdict: Verdict
    seconds: float


Record: TypeAlias = Run | Invoked | Completed | Phase | Armed | Gauge | Healed | Ended | Judged | Closed
