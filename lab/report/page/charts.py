"""The data of the charts: one JSON object for each run, in seconds and operations per second."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from lab.history import FaultSpan, Json
from lab.journal import Armed, Gauge, Journal
from lab.report.page.bins import MOST_BINS
from lab.report.page.content import Part

MOST_SPANS = 400
"""Faults that are drawn; the table below has them all."""


def chart_data(part: Part) -> dict[str, Json]:
    """Return what the charts of a run show.

    *at* and *width* are the bins, *ok*, *fail*, *info* the rates, *p50* and *p99* the latencies; *faults* the spans as
    {step, fault, from, to, evidence: [seconds], fired}; *pool* {at, size, open, out}; *end* where the time axis ends.
    """
    timeline, recorded = part.timeline, part.recorded
    end = round(max(part.seconds, timeline.width), 3)
    return {
        "end": end,
        "width": timeline.width,
        "at": list(timeline.at),
        "ok": list(timeline.ok),
        "fail": list(timeline.fail),
        "info": list(timeline.info),
        "p50": list(timeline.p50),
        "p99": list(timeline.p99),
        "faults": _spans(recorded, end),
        "pool": _pool(recorded.gauges),
    }


def _spans(recorded: Journal, end: float) -> list[Json]:
    epoch = epoch_of(recorded)
    healed = [_healed(span, epoch) for span in recorded.history.faults[:MOST_SPANS]]
    return [*healed, *(_in_force(armed, end) for armed in recorded.armed[: MOST_SPANS - len(healed)])]


def epoch_of(recorded: Journal) -> float | None:
    """Return when the run started, in seconds since 1970; None if the journal does not say it in a way that is known.

    Evidence is told in that time, everything else in seconds since the start.
    """
    try:
        return datetime.datetime.fromisoformat(recorded.run.started).timestamp()
    except ValueError:
        return None


def _healed(span: FaultSpan, epoch: float | None) -> Json:
    return {
        "step": span.step,
        "fault": span.fault,
        "from": round(span.armed, 4),
        "to": round(span.healed, 4),
        "evidence": list(evidence_of(span, epoch)),
        "fired": span.fired,
    }


def evidence_of(span: FaultSpan, epoch: float | None) -> list[float]:
    """Return when a fault was first and last seen to do something, in seconds since the start, within its span."""
    seen = [moment for moment in (span.first, span.last) if moment is not None]
    if epoch is None:
        return []
    within = [round(min(max(moment - epoch, span.armed), span.healed), 4) for moment in seen]
    return list(dict.fromkeys(within))


def _in_force(armed: Armed, end: float) -> Json:
    moment = round(armed.at, 4)
    return {"step": armed.step, "fault": armed.fault, "from": moment, "to": end, "evidence": [], "fired": None}


def _pool(gauges: Sequence[Gauge]) -> Json:
    """Return what the pool held; of several looks that fall into one bin the greatest."""
    if not gauges:
        return None
    values = np.array([(gauge.at, gauge.size, gauge.open, gauge.checked_out) for gauge in gauges])
    starts = np.arange(0, len(values), max(1, -(-len(values) // MOST_BINS)))
    greatest = np.maximum.reduceat(values[:, 1:], starts, axis=0).astype(int)
    return {
        "at": np.round(values[starts, 0], 3).tolist(),
        "size": greatest[:, 0].tolist(),
        "open": greatest[:, 1].tolist(),
        "out": greatest[:, 2].tolist(),
    }
