"""The figures of a result, computed from its history once, for every kind of report."""

from __future__ import annotations

import math
from operator import attrgetter

import msgspec

from lab.checks.service import recovery_seconds
from lab.history import History, Json, Outcome, percentile
from lab.replay import Recheck
from lab.runner import Result
from lab.studies.base import StudyResult
from lab.suite import Suite


class Figures(msgspec.Struct, frozen=True):
    """Counts of operations by outcome; *attempts* in all and per ok operation; seconds, None where there is nothing."""

    ok: int
    fail: int
    info: int
    attempts: int
    attempts_per_commit: float | None
    p50: float | None
    p99: float | None
    recovery: float | None
    per_second: float


def figures(result: Result) -> Figures:
    """Return the figures of a result."""
    return figures_of(result.history)


def figures_of(history: History) -> Figures:
    """Return the figures of a history."""
    times = sorted([operation.seconds for operation in history.operations if operation.outcome is Outcome.OK])
    ok = len(times)
    attempts = sum(map(attrgetter("attempts"), history.operations))
    ended = max([operation.completed or 0.0 for operation in history.operations], default=0.0)
    span = ended - min(map(attrgetter("invoked"), history.operations), default=0.0)
    return Figures(
        ok=ok,
        fail=history.count(Outcome.FAIL),
        info=history.count(Outcome.INFO),
        attempts=attempts,
        attempts_per_commit=round(attempts / ok, 3) if ok else None,
        p50=_known(percentile(times, 0.50)),
        p99=_known(percentile(times, 0.99)),
        recovery=_known(recovery_seconds(history)) if history.faults else None,
        per_second=round(len(history.operations) / span, 1) if span > 0 else 0.0,
    )


def _known(seconds: float | None) -> float | None:
    return None if seconds is None or math.isnan(seconds) else round(seconds, 6)


def suite_to_json(suite: Suite) -> dict[str, Json]:
    """Return a suite as JSON data: the answer of ``lab run --json``."""
    return {
        "run": {
            "seed": suite.seed,
            "cluster": suite.cluster,
            "about": suite.about,
            "verdict": suite.verdict.value,
            "seconds": round(sum(r.seconds for r in suite.results) + sum(s.seconds for s in suite.studies), 3),
        },
        "results": [result_to_json(result) for result in suite.results],
        "studies": [study_to_json(result) for result in suite.studies],
        "refused": [{"scenario": name, "lacks": list(lacks)} for name, lacks in suite.refused],
    }


def result_to_json(result: Result) -> dict[str, Json]:
    """Return one result as JSON data. Times are in seconds; *evidence* has one entry for each step carried out."""
    shown = figures(result)
    json: dict[str, Json] = {
        "scenario": result.scenario,
        "workload": result.workload,
        "verdict": result.verdict.value,
        "plan": msgspec.to_builtins(result.plan.to_json()),
        "evidence": [{**msgspec.to_builtins(span), "fired": span.fired} for span in result.history.faults],
        "operations": {"ok": shown.ok, "fail": shown.fail, "info": shown.info},
        "attempts": shown.attempts,
        "attempts_per_commit": shown.attempts_per_commit,
        "latency": {"p50": shown.p50, "p99": shown.p99},
        "operations_per_second": shown.per_second,
        "recovery": shown.recovery,
        "checks": [msgspec.to_builtins(finding) for finding in result.findings],
        "seconds": round(result.seconds, 3),
    }
    return json


def study_to_json(result: StudyResult) -> dict[str, Json]:
    """Return what a study showed as JSON data; *data* is all that it measured, in its own shape."""
    return {
        "study": result.name,
        "verdict": result.verdict.value,
        "checks": [msgspec.to_builtins(finding) for finding in result.findings],
        "table": {"columns": list(result.table.columns), "rows": [list(row) for row in result.table.rows]},
        "notes": list(result.table.notes),
        "data": result.data,
        "seconds": round(result.seconds, 3),
    }


def recheck_to_json(judged: Recheck) -> dict[str, Json]:
    """Return a journal that was judged again as JSON data."""
    return {
        "journal": str(judged.path),
        "scenario": judged.journal.run.scenario,
        "seed": judged.journal.run.seed,
        "complete": judged.journal.history.complete,
        "verdict": judged.verdict.value,
        "checks": [msgspec.to_builtins(finding) for finding in judged.findings],
    }
