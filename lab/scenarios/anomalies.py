"""Transactions from whose reads the order of all of them can be told: would it show if faults broke serializability?"""

from __future__ import annotations

from faults.pgwire.rules import lost_ack, lost_request, serialization_failure, serialization_failure_at_commit
from lab.checks import doubted, met
from lab.scenario import Scenario
from lab.scenarios._parts import right, unnoticed
from lab.scenarios.wire import often
from lab.workloads.list_append import ListAppend

SCENARIOS = (
    Scenario(
        name="anomalies",
        title="lists grow while COMMITs and answers are lost and conflicts strike; one order explains every read",
        workload=ListAppend(),
        policy=right,
        plan=(
            *often(lost_ack(), 0.08, 1, lasting=1.5),
            *often(lost_request(), 0.08, 2, lasting=1.5),
            *often(serialization_failure(), 0.02, 3, lasting=1.5),
            *often(serialization_failure_at_commit(), 0.05, 4, lasting=1.5),
        ),
        expect=(*unnoticed(), doubted(at_least=2), met("40001", at_least=2)),
    ),
)
