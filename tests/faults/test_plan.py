"""A plan is a value: it goes to JSON and back, its seed decides what it leaves open, and what is no plan is refused."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from faults import topology
from faults.errors import FaultError, MalformedPlan
from faults.plan import (
    EVERY_NODE,
    LEASEHOLDER,
    LONGEST,
    ONE_NODE,
    SERVER,
    After,
    At,
    BeforeCommit,
    Bend,
    BendLinks,
    Crash,
    Cut,
    Disconnect,
    Down,
    Drain,
    Isolate,
    Kill,
    Pause,
    Plan,
    RollingRestart,
    Step,
    Vanish,
    after,
    at,
    before_commit,
    pulses,
    targets,
)
from faults.toxics import TOXICS, Latency, Toxic, make_toxic

NODES = ("n1", "n2", "n3")
BOUNDS: dict[str, dict[str, int]] = {
    "bandwidth": {"rate": 10**6},
    "latency": {"latency": 86_400_000, "jitter": 86_400_000},
    "limit_data": {"bytes": 10**9},
    "noop": {},
    "reset_peer": {"timeout": 86_400_000},
    "slicer": {"average_size": 10**6, "delay": 10**9},
    "slow_close": {"delay": 86_400_000},
    "timeout": {"timeout": 86_400_000},
}
"""Toxic -> attributes and the greatest value of each that is tried; 1 is fine for all."""

SECONDS = st.floats(0, 1000).map(partial(round, ndigits=3)) | st.sampled_from([0.0, LONGEST])
MOMENTS = SECONDS | st.lists(SECONDS, min_size=2, max_size=2).map(lambda pair: (min(pair), max(pair)))
PLACES = st.sampled_from([*NODES, ONE_NODE, EVERY_NODE, LEASEHOLDER])
DIRECTIONS = st.sampled_from(topology.DIRECTIONS)


@st.composite
def toxics(draw: st.DrawFn) -> Toxic:
    """Draw a toxic of any kind, as the API could ask for it."""
    kind = draw(st.sampled_from(sorted(TOXICS)))
    return make_toxic(kind, {name: draw(st.integers(1, most)) for name, most in BOUNDS[kind].items()})


STREAMS: st.SearchStrategy[Any] = st.sampled_from(["upstream", "downstream"])
FAULTS = (
    st.builds(Bend, toxics(), PLACES, STREAMS, st.floats(0, 1))
    | st.builds(Down, PLACES)
    | st.builds(Vanish, PLACES)
    | st.builds(Cut, PLACES)
    | st.builds(Crash, PLACES | st.just(SERVER))
    | st.sampled_from([Kill, Pause, Drain, RollingRestart, Disconnect]).flatmap(lambda kind: st.builds(kind, PLACES))
    | st.builds(Isolate, PLACES, DIRECTIONS)
    | st.builds(BendLinks, toxics(), PLACES, DIRECTIONS)
)
TRIGGERS = (
    st.builds(At, MOMENTS) | st.builds(After, st.integers(0, 10**6)) | st.builds(BeforeCommit, st.integers(1, 999))
)
STEPS = st.builds(Step, TRIGGERS, FAULTS, MOMENTS)
PLANS = st.builds(Plan, st.lists(STEPS, max_size=5).map(tuple), st.integers(-(2**63), 2**63))


def test_a_link_is_named_by_both_its_ends_and_each_direction_has_its_own() -> None:
    names = [str(link) for link in topology.links_between(["n1", "n2", "n3"])]
    assert names == ["n1-to-n2", "n1-to-n3", "n2-to-n1", "n2-to-n3", "n3-to-n1", "n3-to-n2"]
    assert [str(link) for link in topology.links_of("n2", ["n1", "n2", "n3"], "to")] == ["n1-to-n2", "n3-to-n2"]
    assert [str(link) for link in topology.links_of("n2", ["n1", "n2", "n3"], "from")] == ["n2-to-n1", "n2-to-n3"]
    assert len(list(topology.links_of("n2", ["n1", "n2", "n3"], "both"))) == 4


@pytest.mark.parametrize("kind", ["isolate", "bend_links"])
def test_a_direction_that_is_none_is_refused_with_the_choices(kind: str) -> None:
    fault = {"kind": kind, "direction": "up", "toxic": {"type": "noop"}}
    if kind == "isolate":
        del fault["toxic"]
    with pytest.raises(MalformedPlan, match="direction must be one of both, to, from"):
        Plan.from_json({"steps": [{"at": 1, "fault": fault}]})


def test_every_toxic_is_tried_here() -> None:
    assert set(BOUNDS) == set(TOXICS)


@given(plan=PLANS)
def test_a_plan_goes_to_json_and_back_unchanged(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan
    assert Plan.from_json(plan.to_json()) == plan


@given(plan=PLANS)
def test_every_step_reads_aloud(plan: Plan) -> None:
    for step in plan.steps:
        assert str(step).startswith(("at ", "after ", "before commit "))
        assert step.fault.on in str(step)


@given(plan=PLANS)
def test_resolving_makes_every_draw_and_the_same_ones_again(plan: Plan) -> None:
    resolved = plan.resolve(NODES)
    assert plan.resolve(NODES) == resolved
    for step, wanted in zip(resolved.steps, plan.steps, strict=True):
        assert isinstance(step.lasting, float)
        assert not isinstance(step.trigger, At) or isinstance(step.trigger.seconds, float)
        assert step.fault.on == wanted.fault.on if wanted.fault.on != ONE_NODE else step.fault.on in NODES


@given(plan=PLANS)
def test_a_resolved_plan_leaves_nothing_open_and_survives_its_json(plan: Plan) -> None:
    resolved = plan.resolve(NODES)
    assert resolved.resolve(NODES) == resolved
    assert Plan.from_json(resolved.to_json()) == resolved


@given(low=st.floats(0, 10), span=st.floats(0, 1), seed=st.integers())
def test_a_draw_stays_within_its_range(low: float, span: float, seed: int) -> None:
    high = low + span
    (step,) = Plan((at((low, high), Cut(), lasting=(low, high)),), seed).resolve(NODES).steps
    assert isinstance(step.trigger, At)
    for drawn in (step.trigger.seconds, step.lasting):
        assert isinstance(drawn, float)
        assert low <= drawn <= high


def test_the_seed_decides_the_node() -> None:
    struck = {Plan((at(0, Down()),), seed).resolve(NODES).steps[0].fault.on for seed in range(50)}
    assert struck == set(NODES)


@pytest.mark.parametrize("fault", [Down("n9"), Cut("n9"), Bend(Latency(0.1), on="n9"), Crash("banana"), Down(SERVER)])
def test_a_step_that_names_no_node_is_refused_with_the_nodes_there_are(fault: Down | Cut | Bend | Crash) -> None:
    with pytest.raises(MalformedPlan, match=r"there are n1, n2, n3") as caught:
        Plan((at(1, fault),)).resolve(NODES)
    assert fault.on in str(caught.value)


def test_a_fault_strikes_one_node_or_all() -> None:
    assert targets(Down("n2"), NODES) == ["n2"]
    assert targets(Down(EVERY_NODE), NODES) == list(NODES)


def test_steps_read_like_sentences() -> None:
    assert str(after(60, Down(on="n2"), lasting=1.5)) == "after 60 operations: gateway of n2 down for 1.5 s"
    assert str(at((1, 2), Cut())) == "at 1 to 2 s: connections of every node reset"
    assert str(before_commit(3, Crash(), lasting=(0.5, 1))) == "before commit 3: server crashed for 0.5 to 1 s"
    bend = Bend(make_toxic("latency", {"latency": 30, "jitter": 10}), on="n1", toxicity=0.25)
    assert str(at(0, bend)) == "at 0 s: latency(latency 30, jitter 10) downstream of n1 for 25% of connections"


def test_pulses_are_the_same_fault_again_and_again() -> None:
    steps = pulses(3, Cut(), every=0.1, lasting=0.05, first=0.2)
    assert [step.trigger for step in steps] == [At(0.2), At(0.3), At(0.4)]
    assert {(step.fault, step.lasting) for step in steps} == {(Cut(), 0.05)}


@pytest.mark.parametrize(
    ("kind", "fault"), [("down", Down()), ("vanish", Vanish()), ("cut", Cut()), ("crash", Crash())]
)
def test_a_fault_that_says_no_target_in_json_has_the_one_that_it_has_in_python(kind: str, fault: object) -> None:
    assert Plan.from_json({"steps": [{"at": 1, "fault": {"kind": kind}}]}).steps[0].fault == fault


def test_a_bend_that_says_nothing_else_in_json_is_the_one_of_python() -> None:
    plan = Plan.from_json({"steps": [{"at": 1, "fault": {"kind": "bend", "toxic": {"type": "noop"}}}]})
    assert plan == Plan((at(1, Bend(make_toxic("noop", {}))),))


BEND = {"kind": "bend", "toxic": {"type": "latency", "attributes": {"latency": 5}}}
CUT = {"kind": "cut"}
WRONG_STEPS: dict[str, tuple[object, str]] = {
    "no object": (5, "must be an object"),
    "no trigger": ({"fault": CUT}, "needs one of 'at'"),
    "two triggers": ({"at": 1, "after": 2, "fault": CUT}, "needs one of 'at'"),
    "an unknown field": ({"at": 1, "fault": CUT, "last": 3}, "unknown field 'last'"),
    "no fault": ({"at": 1}, "fault: must be an object"),
    "an unknown fault": ({"at": 1, "fault": {"kind": "flood"}}, "unknown fault 'flood'"),
    "a fault without kind": ({"at": 1, "fault": {}}, "unknown fault None"),
    "a list as kind": ({"at": 1, "fault": {"kind": ["cut"]}}, "unknown fault"),
    "a field of another fault": ({"at": 1, "fault": {**CUT, "stream": "upstream"}}, "unknown field 'stream'"),
    "a number as target": ({"at": 1, "fault": {**CUT, "on": 3}}, "'on' must be a text"),
    "text as time": ({"at": "soon", "fault": CUT}, "'at' must be seconds"),
    "a truth as time": ({"at": True, "fault": CUT}, "'at' must be seconds"),
    "a negative time": ({"at": -1, "fault": CUT}, "'at' must be seconds"),
    "an endless time": ({"at": float("inf"), "fault": CUT}, "'at' must be seconds"),
    "no number as time": ({"at": float("nan"), "fault": CUT}, "'at' must be seconds"),
    "a time beyond floats": ({"at": 10**400, "fault": CUT}, "'at' must be seconds"),
    "more than a day": ({"at": LONGEST + 1, "fault": CUT}, "'at' must be seconds from 0 to 86400"),
    "a range of one": ({"at": [1], "fault": CUT}, r"a range \[from, to\]"),
    "a range of three": ({"at": [1, 2, 3], "fault": CUT}, r"a range \[from, to\]"),
    "a range in a range": ({"at": [[1, 2], 3], "fault": CUT}, "'at' must be seconds"),
    "a range that goes down": ({"at": [2, 1], "fault": CUT}, "goes up"),
    "a negative duration": ({"at": 1, "lasting": -1, "fault": CUT}, "'lasting' must be seconds"),
    "a negative count": ({"after": -1, "fault": CUT}, "'after' must be 0 or more"),
    "half an operation": ({"after": 1.5, "fault": CUT}, "'after' must be a whole number"),
    "the commit before the first": ({"before_commit": 0, "fault": CUT}, "'before_commit' must be 1 or more"),
    "no toxic": ({"at": 1, "fault": {"kind": "bend"}}, "toxic: must be an object"),
    "an unknown toxic": ({"at": 1, "fault": {"kind": "bend", "toxic": {"type": "latncy"}}}, "did you mean 'latency'"),
    "toxicity in the toxic": (
        {"at": 1, "fault": {"kind": "bend", "toxic": {"type": "noop", "toxicity": 0}}},
        "toxic: unknown field 'toxicity'",
    ),
    "an unknown attribute": (
        {"at": 1, "fault": {"kind": "bend", "toxic": {"type": "latency", "attributes": {"jiter": 1}}}},
        "did you mean 'jitter'",
    ),
    "attributes that do not fit together": (
        {
            "at": 1,
            "fault": {
                "kind": "bend",
                "toxic": {"type": "slicer", "attributes": {"average_size": 1, "size_variation": 9}},
            },
        },
        "size_variation",
    ),
    "a list of attributes": (
        {"at": 1, "fault": {"kind": "bend", "toxic": {"type": "latency", "attributes": [1]}}},
        "attributes: must be an object",
    ),
    "another stream": ({"at": 1, "fault": {**BEND, "stream": "sideways"}}, "stream must be upstream or downstream"),
    "a list as stream": ({"at": 1, "fault": {**BEND, "stream": []}}, "stream must be upstream or downstream"),
    "a share above all": ({"at": 1, "fault": {**BEND, "toxicity": 1.1}}, "toxicity must be a number from 0 to 1"),
    "a share of nothing": ({"at": 1, "fault": {**BEND, "toxicity": None}}, "toxicity must be a number from 0 to 1"),
    "no number as share": ({"at": 1, "fault": {**BEND, "toxicity": float("nan")}}, "toxicity must be a number"),
}


@pytest.mark.parametrize(("step", "problem"), WRONG_STEPS.values(), ids=WRONG_STEPS)
def test_a_step_that_is_none_is_named_with_what_is_wrong(step: object, problem: str) -> None:
    good = {"at": 1, "fault": CUT}
    with pytest.raises(MalformedPlan, match=problem) as caught:
        Plan.from_json({"steps": [good, step, good]})
    assert str(caught.value).startswith("step 2: ")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (None, "plan: must be an object"),
        ([], "plan: must be an object"),
        (object(), "plan: must be an object"),
        ({"steps": {}}, "'steps' must be a list"),
        ({"steps": None}, "'steps' must be a list"),
        ({"seed": "7"}, "'seed' must be a whole number"),
        ({"seed": True}, "'seed' must be a whole number"),
        ({"seed": 1.0}, "'seed' must be a whole number"),
        ({"plan": []}, "unknown field 'plan', known: seed, steps"),
    ],
)
def test_what_is_no_plan_is_refused(data: object, problem: str) -> None:
    with pytest.raises(MalformedPlan, match=problem):
        Plan.from_json(data)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from([10**400, "latency"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)


@given(plan=PLANS, data=st.data())
def test_a_plan_with_anything_anywhere_is_a_plan_or_malformed_in_that_step(plan: Plan, data: st.DataObject) -> None:
    assume(plan.steps)
    number = data.draw(st.integers(0, len(plan.steps) - 1))
    written: Any = json.loads(json.dumps(plan.to_json()))
    place = written["steps"][number]
    while data.draw(st.booleans()):
        deeper = [inner for inner in place.values() if isinstance(inner, dict) and inner]
        if not deeper:
            break
        place = data.draw(st.sampled_from(deeper))
    place[data.draw(st.sampled_from(sorted(place)) | st.text(max_size=5))] = data.draw(JSON)

    try:
        read = Plan.from_json(written)
    except MalformedPlan as error:
        assert str(error).startswith(f"step {number + 1}: ")  # noqa: PT017 - either answer is right
    else:
        assert Plan.from_json(read.to_json()) == read


@given(data=JSON)
def test_no_other_error_than_malformed_plan_is_ever_raised(data: object) -> None:
    for wrong in (data, {"steps": data}, {"steps": [data]}, {"steps": [{"at": 1, "fault": data}]}, {"seed": data}):
        try:
            Plan.from_json(wrong)
        except FaultError as error:
            assert type(error) is MalformedPlan  # noqa: PT017 - it may also be a plan
