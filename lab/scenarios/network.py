"""The network between the application and the cluster: slow, narrow, broken."""

from __future__ import annotations

from faults.plan import EVERY_NODE, ONE_NODE, Bend, Vanish, after, at, before_commit, pulses
from faults.toxics import Bandwidth, Latency, ResetPeer, Slicer, Timeout
from lab.checks import doubted
from lab.scenario import EngineSettings, Scenario
from lab.scenarios._parts import bank, right, unnoticed

impatient = EngineSettings(connect_timeout=0.4, command_timeout=0.4)
"""Against a black hole nothing helps but time-outs: the kernel on the near side acknowledges everything."""

SCENARIOS = (
    Scenario(
        name="latency",
        title="every reply takes 20 to 40 ms longer",
        workload=bank,
        policy=right,
        plan=(at(0.2, Bend(Latency(delay=0.030, jitter=0.010), on=EVERY_NODE), lasting=2.0),),
        expect=unnoticed(),
    ),
    Scenario(
        name="resets",
        title="connections are reset in flight, requests and replies alike",
        workload=bank,
        policy=right,
        plan=(
            *pulses(8, Bend(ResetPeer(), stream="upstream"), every=0.2, lasting=0.03, first=0.1),
            *pulses(8, Bend(ResetPeer(), stream="downstream"), every=0.2, lasting=0.03, first=0.2),
        ),
        expect=unnoticed(),
    ),
    Scenario(
        name="black-hole",
        title="the gateway of one node swallows every request, then comes back",
        workload=bank,
        policy=right,
        engine=impatient,
        plan=(at(0.2, Bend(Timeout(), on="n2", stream="upstream"), lasting=4.0),),
        expect=unnoticed(longest=3.0),
    ),
    Scenario(
        name="host-vanishes",
        title="the host of one gateway is gone: nothing is acknowledged, nothing refused; then it is back",
        workload=bank,
        policy=right,
        engine=impatient,
        plan=(after(40, Vanish(on="n2"), lasting=1.5),),
        expect=unnoticed(longest=3.0),
    ),
    Scenario(
        name="slow-link",
        title="one link is narrow and cuts data into small pieces",
        workload=bank,
        policy=right,
        plan=(
            at(0.2, Bend(Slicer(average_size=40, size_variation=20, delay=0.0005), on=ONE_NODE), lasting=2.0),
            at(0.4, Bend(Bandwidth(rate=20_000), on=EVERY_NODE, stream="upstream"), lasting=1.6),
        ),
        expect=unnoticed(),
    ),
    Scenario(
        name="commit-doubt",
        title="connections die around COMMIT, and the idempotency key settles what happened",
        workload=bank,
        policy=right,
        plan=tuple(
            before_commit(8 * number, Bend(ResetPeer(), stream="upstream" if number % 2 else "downstream"))
            for number in range(1, 21)
        ),
        expect=(*unnoticed(), doubted(at_least=20)),
    ),
)
