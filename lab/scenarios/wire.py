"""Faults at exact moments of the conversation: the client sees one and the same error, and the truth is opposite."""

from __future__ import annotations

from dataclasses import replace

from faults.pgwire.rules import (
    Rule,
    Where,
    admin_shutdown,
    ambiguous_result,
    lost_ack,
    lost_request,
    serialization_failure,
    serialization_failure_at_commit,
    too_many_connections,
)
from faults.plan import Step, Strike, at
from lab.checks import doubted, met
from lab.scenario import Scenario
from lab.scenarios._parts import bank, right, unnoticed


def often(rule: Rule, probability: float, seed: int, *, lasting: float) -> tuple[Step, Step]:
    """Let a rule strike once for certain, and then again and again with a *probability* (0 to 1) drawn from *seed*.

    The draws alone could be too late for a slow machine, which has few statements to draw for in *lasting* seconds.
    """
    drawn = replace(rule, times=0, probability=probability, seed=seed)
    return at(0.1, Strike(replace(rule, times=1)), lasting=lasting), at(0.1, Strike(drawn), lasting=lasting)


slow = Rule("slow", "reply", "delay", Where(statement="COMMIT"), seconds=0.15)

SCENARIOS = (
    Scenario(
        name="lost-acks",
        title="some COMMITs are lost, and of others only the answer: both look the same",
        workload=bank,
        policy=right,
        plan=(
            *often(lost_ack(), 0.08, 1, lasting=2.0),
            *often(lost_request(), 0.08, 2, lasting=2.0),
            *often(ambiguous_result(), 0.08, 3, lasting=2.0),
        ),
        expect=(*unnoticed(), doubted(at_least=3)),
    ),
    Scenario(
        name="conflicts",
        title="serialization failures strike statements and COMMITs",
        workload=bank,
        policy=right,
        plan=(
            *often(serialization_failure(), 0.03, 1, lasting=1.5),
            *often(serialization_failure_at_commit(), 0.08, 2, lasting=1.5),
        ),
        expect=(*unnoticed(), met("40001", at_least=5)),
    ),
    Scenario(
        name="shutdown",
        title="sessions are terminated by an administrator, and new ones refused for a while",
        workload=bank,
        policy=right,
        plan=(
            at(0.1, Strike(replace(admin_shutdown(), times=12, skip=5, where=Where(sql="update|select"))), lasting=1.5),
            at(0.1, Strike(replace(too_many_connections(), times=4)), lasting=1.5),
        ),
        expect=unnoticed(),
    ),
    Scenario(
        name="slow-commit",
        title="the answer to every fifth COMMIT takes 150 ms",
        workload=bank,
        policy=right,
        plan=(*often(slow, 0.2, 1, lasting=1.5),),
        expect=unnoticed(),
    ),
)
