"""What a rehearsal showed, as values that go to JSON and back, and how its service level is judged. Pure."""

from __future__ import annotations

import msgspec

from lab.history import FaultSpan, History, percentile
from lab.runbook.model import Bounds
from lab.verdict import Finding, Verdict

FORMAT = 1
"""Version of the drill log; a reader refuses a newer one."""


class Step(msgspec.Struct, frozen=True):
    """Something that was injected, observed, done or verified, *at* seconds after the incident began.

    *held* tells whether an expectation held; None without one.
    """

    section: str
    at: float
    text: str
    shown: str
    held: bool | None = None


class Times(msgspec.Struct, frozen=True):
    """Seconds from the incident to each milestone; None for one that was not reached."""

    detect: float | None = None
    diagnose: float | None = None
    mitigate: float | None = None
    recover: float | None = None


class Service(msgspec.Struct, frozen=True):
    """The service level from the incident to the recovery: share of operations that were not done, p99 in seconds."""

    operations: int
    not_done: int
    error_rate: float | None
    p99: float | None


class Drill(msgspec.Struct, frozen=True):
    """One rehearsal. *started* is RFC 3339; *seconds* from the incident to the end; *diagnosis* what was guessed.

    *journal* is the name of the file beside the log that holds its journal; empty if that was not kept.
    """

    runbook: str
    title: str
    mode: str
    cluster: str
    seed: int
    started: str
    verdict: Verdict
    times: Times
    service: Service
    bounds: dict[str, float]
    findings: tuple[Finding, ...]
    steps: tuple[Step, ...]
    faults: tuple[FaultSpan, ...]
    node: str = ""
    seconds: float = 0.0
    diagnosis: str = ""
    journal: str = ""
    format: int = FORMAT


def service_during(history: History, since: float, until: float) -> Service:
    """Return the service level of the operations that were under way between two times (seconds of the run)."""
    during = [
        operation
        for operation in history.operations
        if operation.invoked <= until and (operation.completed is None or operation.completed >= since)
    ]
    missed = sum(not operation.answered for operation in during)
    times = sorted(operation.seconds for operation in during if operation.completed is not None)
    rate = round(missed / len(during), 4) if during else None
    return Service(len(during), missed, rate, round(percentile(times, 0.99), 3) if times else None)


def judge_service(service: Service, bounds: Bounds) -> Finding:
    """Judge a service level by the bounds of its runbook; without an operation there is nothing to judge."""
    name = "service level"
    if service.error_rate is None or service.p99 is None:
        return Finding(name, Verdict.INCONCLUSIVE, "no operation was under way during the incident")
    said = f"{service.error_rate:.1%} of {service.operations} operations not done, p99 {service.p99:.2f} s"
    asked = f"the bounds are {bounds.error_rate:.0%} and {bounds.p99:g} s"
    good = service.error_rate <= bounds.error_rate and service.p99 <= bounds.p99
    return Finding(name, Verdict.PASS if good else Verdict.FAIL, f"{said}; {asked}")
