"""Did the planned faults fire? Without evidence no other check has anything to say."""

from __future__ import annotations

from lab.history import History
from lab.verdict import Check, Judgement, inconclusive, passed


def faults_fired() -> Check:
    """Every step of the plan was carried out, and each kind of fault in it left evidence that it did something.

    A fault that is armed many times (pulses) has fired when one of its pulses did.
    """
    return Check("faults fired", "every planned fault left evidence", _judge)


def _judge(history: History) -> Judgement:
    if not history.planned:
        return passed("no fault was planned")
    if len(history.faults) < history.planned:
        return inconclusive(f"only {len(history.faults)} of {history.planned} planned steps were carried out")
    fired = {span.fault for span in history.faults if span.fired}
    silent = {span.fault for span in history.faults} - fired
    if silent:
        return inconclusive(f"no evidence that it fired: {'; '.join(sorted(silent))}")
    events = sum(span.events for span in history.faults)
    connections = sum(span.connections for span in history.faults)
    return passed(f"{events:,} events on {connections} connections")
