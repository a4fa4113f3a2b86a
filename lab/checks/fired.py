"""Did the planned faults fire? Without evidence no other check has anything to say."""

from __future__ import annotations

from lab.history import History
from lab.verdict import Check, Judgement, inconclusive, passed

MOST_NAMED = 10
"""Missing steps that are named."""


def faults_fired() -> Check:
    """Every step of the plan was carried out, and each kind of fault in it left evidence that it did something.

    A fault that is armed many times (pulses) has fired when one of its pulses did.
    """
    return Check("faults fired", "every planned fault left evidence", _judge)


def _judge(history: History) -> Judgement:
    if not history.planned:
        return passed("no fault was planned")
    missing = set(range(1, history.planned + 1)) - {span.step for span in history.faults}
    if missing:
        steps = ", ".join(map(str, sorted(missing)[:MOST_NAMED]))
        return inconclusive(f"{len(missing)} of {history.planned} planned steps were not carried out: {steps}")
    fired = {span.fault for span in history.faults if span.fired}
    silent = {span.fault for span in history.faults} - fired
    if silent:
        return inconclusive(f"no evidence that it fired: {'; '.join(sorted(silent))}")
    events = sum(span.events for span in history.faults)
    connections = sum(span.connections for span in history.faults)
    return passed(f"{events:,} events on {connections} connections")
