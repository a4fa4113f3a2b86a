"""Gateways and servers that go away and come back."""

from __future__ import annotations

from faults.plan import EVERY_NODE, ONE_NODE, Crash, Down, after, at
from lab.checks import answers, recovers, restrained
from lab.retry import Backoff, RetryPolicy
from lab.scenario import Scenario
from lab.scenarios._parts import bank, right, unnoticed

bounded = RetryPolicy(attempts=8, deadline=3.0, backoff=Backoff(0.02, 0.5), later=Backoff(0.1, 1.0))
"""Gives up in time: an outage longer than its deadline is told to the user, not hammered."""

SCENARIOS = (
    Scenario(
        name="gateway-lost",
        title="the gateway of one node is lost in the middle of traffic, and comes back",
        workload=bank,
        policy=right,
        plan=(after(60, Down(on=ONE_NODE), lasting=1.5),),
        expect=unnoticed(),
    ),
    Scenario(
        name="gateways-in-turn",
        title="each gateway is lost in its turn, as in a rolling restart",
        workload=bank,
        policy=right,
        plan=tuple(at(0.2 + number * 0.8, Down(on=f"n{number + 1}"), lasting=0.6) for number in range(3)),
        expect=unnoticed(),
    ),
    Scenario(
        name="server-crash",
        title="the database server is killed and restarted",
        workload=bank,
        policy=right,
        plan=(after(80, Crash(), lasting=0.5),),
        expect=unnoticed(),
    ),
    Scenario(
        name="total-outage",
        title="nothing can be reached for longer than the policy may wait, and nobody storms",
        workload=bank,
        policy=bounded,
        plan=(at(0.2, Down(on=EVERY_NODE), lasting=4.0),),
        expect=(
            recovers(within=5.0),
            answers(within=8.0),
            restrained(attempts_per_second=4.0, burst=8),
        ),
    ),
)
