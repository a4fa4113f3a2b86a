"""What only a real cluster can show: nodes that die, stand still, drain and are cut off from each other."""

from __future__ import annotations

from faults.pgwire.rules import COMMIT, Rule
from faults.plan import (
    EVERY_NODE,
    LEASEHOLDER,
    ONE_NODE,
    BendLinks,
    Disconnect,
    Isolate,
    Kill,
    Pause,
    RollingRestart,
    Strike,
    after,
    at,
)
from faults.toxics import Latency
from lab.checks import answers, doubted, met, recovers, restrained
from lab.clusters.base import Capability
from lab.retry import Backoff, RetryPolicy
from lab.scenario import EngineSettings, Scenario
from lab.scenarios._parts import bank, served
from lab.verdict import Check
from lab.workloads.bank import Bank
from lab.workloads.provoked import Provoked

LEASE = 40.0
"""Seconds within which somebody else serves the rows of a lost leaseholder; 5 to 17 were seen, by version."""

patient = RetryPolicy(attempts=400, deadline=60.0, backoff=Backoff(0.02, 0.5), later=Backoff(0.1, 1.0), judgements=100)
"""Outlasts the time in which leases move: the caller waits, and hears no error."""

hasty = RetryPolicy(attempts=12, deadline=4.0, backoff=Backoff(0.05, 1.0), later=Backoff(0.1, 1.0))
"""Gives up in time: where nothing but healing helps, a deadline is all that there is."""

short = EngineSettings(connect_timeout=1.0, command_timeout=1.5, statement_timeout=1.5)
"""A node that says nothing is left after a second and a half; the next connection goes to another one."""

BUSY = Bank(accounts=64, reads=0.1)
"""Writers, mostly."""


def unnoticed() -> tuple[Check, ...]:
    """Return the checks of a fault that users feel as a delay and nothing else."""
    return (*served(longest=patient.deadline + 5), recovers(within=LEASE))


SCENARIOS = (
    Scenario(
        name="node-killed",
        title="a node is killed under writers, and comes back",
        workload=bank,
        policy=patient,
        engine=short,
        plan=(after(60, Kill(on=ONE_NODE), lasting=5.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="leaseholder-lost",
        title="the node that serves the rows is killed under 24 writers, while their COMMITs are on their way",
        workload=BUSY,
        policy=patient,
        engine=short,
        clients=24,
        # Some COMMITs are held on their way, so there is doubt for certain, on however slow a machine; on slow links
        # others are likely to be waiting for their replicas when the node dies.
        plan=(
            at(0.1, Strike(Rule("held", "request", "hold", COMMIT, times=4)), lasting=8.0),
            at(0.1, BendLinks(Latency(delay=0.05), on=EVERY_NODE), lasting=10.0),
            at(1.0, Kill(on=LEASEHOLDER), lasting=5.0),
        ),
        expect=(*unnoticed(), doubted(at_least=1)),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="node-paused",
        title="a node stands still for six seconds: its connections stay, and say nothing",
        workload=bank,
        policy=patient,
        engine=short,
        plan=(after(60, Pause(on=ONE_NODE), lasting=6.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="node-off-network",
        title="a node is taken off its network for six seconds: packets to it vanish",
        workload=bank,
        policy=patient,
        engine=short,
        plan=(after(60, Disconnect(on=ONE_NODE), lasting=6.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="rolling-restart",
        title="each node is drained and restarted in its turn, and no operation fails",
        workload=bank,
        policy=patient,
        engine=short,
        plan=(after(30, RollingRestart()),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
        patience=400.0,
    ),
    Scenario(
        name="minority-cut",
        title="one node is cut off from the others while its clients still reach it, and is healed",
        workload=bank,
        policy=patient,
        engine=short,
        plan=(after(60, Isolate(on=ONE_NODE), lasting=8.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="one-way-cut",
        title="nothing reaches the leaseholder any more, which keeps its lease: only a deadline helps",
        workload=BUSY,
        policy=hasty,
        engine=short,
        plan=(after(60, Isolate(on=LEASEHOLDER, direction="to"), lasting=15.0),),
        expect=(
            answers(within=hasty.deadline + 3),
            recovers(within=LEASE),
            restrained(attempts_per_second=4.0, burst=8),
        ),
        settle=LEASE,
        drain=15.0,
        read_deadline=hasty.deadline,
    ),
    Scenario(
        name="slow-links",
        title="what nodes say to each other takes 20 ms longer, and every write needs it",
        workload=bank,
        policy=patient,
        plan=(at(0.2, BendLinks(Latency(delay=0.020), on=EVERY_NODE), lasting=3.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
    Scenario(
        name="forced-retries",
        title="transactions ask CockroachDB itself for a serialization failure, twice each",
        workload=Provoked(bank, "SELECT crdb_internal.force_retry('1h')"),
        policy=patient,
        seconds=2.0,
        expect=(*served(), met("40001", at_least=5)),
        also_needs=frozenset({Capability.FORCED_RETRIES}),
    ),
    Scenario(
        name="injected-retries",
        title="CockroachDB injects serialization failures into transactions by a session setting",
        workload=Provoked(bank, "SET LOCAL inject_retry_errors_enabled = on"),
        policy=patient,
        seconds=2.0,
        expect=(*served(), met("40001", at_least=5)),
        also_needs=frozenset({Capability.INJECTED_RETRIES}),
    ),
    Scenario(
        name="clustered-advice",
        title="SERIALIZABLE, statement time-outs and validated connections, as is advised for clusters, as a node dies",
        workload=bank,
        policy=patient,
        engine=EngineSettings(pool_pre_ping=True, pool_recycle=1.0, statement_timeout=1.0, command_timeout=1.5),
        plan=(after(40, Kill(on=ONE_NODE), lasting=4.0),),
        expect=unnoticed(),
        settle=LEASE,
        drain=patient.deadline,
        read_deadline=patient.deadline,
    ),
)
