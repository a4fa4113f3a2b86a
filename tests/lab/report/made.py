"""Runs made by hand, for tests of what is reported of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lab.history import FaultSpan, Final, History, Json, Operation, Outcome
from lab.journal import Armed, Closed, Completed, Ended, Gauge, Healed, Invoked, Journal, JournalWriter, Judged, Run
from lab.report.page.content import Report, part_of
from lab.studies.base import StudyResult, StudyTable
from lab.verdict import Anomaly, Dependency, Finding, Verdict

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&|`[a](javascript:x)\x00\n{{7*7}}"
PLAN: dict[str, Json] = {"seed": 7, "steps": [{"after": 60, "fault": {"kind": "down", "on": "n1"}, "lasting": 1.5}]}


def run_of(scenario: str = "gateway-lost", text: str = "") -> Run:
    """Return the header of a run; *text* stands wherever somebody's words may."""
    started = "2026-01-02T03:04:05+00:00"
    return Run(scenario, f"embedded: {text or 'a server'}", 7, f"RetryPolicy{text}", started, PLAN, {f"lab{text}": "1"})


def recorded(run: Run, operations: int = 400, *, text: str = "") -> Journal:
    """Return a run of so many operations in 4 s, with a fault that fired, its pool, one lost unit and one unknown."""
    made = tuple(operation(n, operations, text) for n in range(operations))
    span = FaultSpan(1, f"gateway of n1 down{text}", 1.0, 2.0, 2, 2, first=1767323046.5, last=1767323046.6, note=text)
    final = Final(None, {f"u{n}": 1 for n in range(2, operations)}, 0, 0)
    gauges = tuple(Gauge(n / 10, 6, 6, n % 7) for n in range(40))
    return Journal(run, History(made, (span,), 1, final), (), Verdict.FAIL, (), (Armed(2, f"held{text}", 3.0),), gauges)


def operation(number: int, count: int, text: str = "") -> Operation:
    """Return the operation of this number; the second one is of unknown outcome."""
    at = 4.0 * number / count
    outcome = Outcome.INFO if number == 1 else Outcome.OK
    return Operation(
        number, number % 6, f"move{text}", {"to": text}, outcome, at, at + 0.01, None, f"u{number}", 1, (text,)
    )


def findings(text: str = "") -> tuple[Finding, ...]:
    """Return one finding of each verdict; the failure has a circle as its witness."""
    circle = (Dependency(0, 1, f"rw{text}", f"T0 missed T1{text}"), Dependency(1, 0, "ww", f"T1 went first{text}"))
    anomaly = Anomaly(f"G2{text}", (0, 1), f"why{text}", circle)
    return (
        Finding("conserved", Verdict.PASS, "all of it"),
        Finding(f"serial{text}", Verdict.FAIL, f"not so{text}", (0, 1), (anomaly,)),
        Finding("recovers", Verdict.INCONCLUSIVE, f"not seen{text}"),
    )


def report_of(text: str = "", operations: int = 400) -> Report:
    """Return a report of one run and one study."""
    part = part_of(
        recorded(run_of(text=text), operations, text=text), findings(text), f"title{text}", f"run{text}.jsonl", text
    )
    table = StudyTable(
        (f"case{text}", "SERIALIZABLE"), ((f"G0{text}", "clean"), ("G1a", f"ANOMALY{text}")), (f"note{text}",)
    )
    study = StudyResult(f"hermitage{text}", Verdict.PASS, (Finding("clean", Verdict.PASS, "it is"),), table, None, 1.0)
    return Report(f"a server{text}", (part,), (study,), ((f"node{text}", (f"nodes{text}",)),), {})


def report_of_every_verdict() -> Report:
    """Return a report of runs that failed, were inconclusive, passed, and of one that goes on; and of one study."""
    whole = report_of(operations=60)
    (failed,) = whole.parts
    unclear, right = (
        part_of(
            recorded(run_of(verdict.value), 60), (Finding("one", verdict, "why"),), "title", "run.jsonl", "Incomplete."
        )
        for verdict in (Verdict.INCONCLUSIVE, Verdict.PASS)
    )
    going_on = replace(right, verdict=None, findings=())
    return replace(whole, parts=(failed, unclear, right, going_on))


def write_journal(path: Path, *, closed: bool = True) -> None:
    """Write the journal of a bank without faults; one that is not *closed* was cut."""
    run = Run(
        "steady", "embedded: a server", 7, "RetryPolicy", "2026-01-02T03:04:05+00:00", {"seed": 7, "steps": []}, {}
    )
    with JournalWriter(path) as writer:
        writer.write(run)
        for n in range(4):
            writer.write(Invoked(n, 0, "read", None, n * 1.0))
            writer.write(Completed(n, Outcome.OK, n + 0.5, {str(account): 100 for account in range(16)}, 1))
        if closed:
            writer.write(Healed(FaultSpan(1, "none", 0.0, 0.0)))
            writer.write(Ended(Final({str(account): 100 for account in range(16)}, {}, 0, 0)))
            writer.write(Judged(Finding("conserved", Verdict.PASS, "all of it")))
            writer.write(Closed(Verdict.PASS, 4.0))
