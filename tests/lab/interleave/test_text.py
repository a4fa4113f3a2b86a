"""Schedules as people write them."""

from __future__ import annotations

import pytest

from lab.errors import UsageError
from lab.interleave.hermitage import CASES
from lab.interleave.steps import Action, Delete, End, Insert, Read, Selection, Write
from lab.interleave.text import parse_schedule


@pytest.mark.parametrize(
    ("text", "action"),
    [
        ("r1", Read(Selection("id", 1))),
        ("r*", Read(Selection("all"))),
        ("p3", Read(Selection("multiple", 3))),
        ("r[value%3=0]", Read(Selection("multiple", 3))),
        ("r[value=30]", Read(Selection("value", 30))),
        ("r[value = -5]", Read(Selection("value", -5))),
        ("w1=11", Write(Selection("id", 1), 11)),
        ("w1=-11", Write(Selection("id", 1), -11)),
        ("w2+=5", Write(Selection("id", 2), 5, added=True)),
        ("w*+=10", Write(Selection("all"), 10, added=True)),
        ("w[value=10]=12", Write(Selection("value", 10), 12)),
        ("d2", Delete(Selection("id", 2))),
        ("d[value=20]", Delete(Selection("value", 20))),
        ("i3=30", Insert((3, 30))),
        ("a", End.ABORT),
    ],
)
def test_a_step_is_read_as_it_is_meant(text: str, action: Action) -> None:
    end = "" if isinstance(action, End) else "; T1: c"
    assert parse_schedule(f"T1: {text}{end}").steps[0].action == action


def test_turns_are_divided_by_semicolons_and_their_actions_by_commas() -> None:
    schedule = parse_schedule("T1: r1; T2: w1=11, c;\n T1: r1, c;")

    assert [str(step) for step in schedule.steps] == ["T1: r1", "T2: w1=11", "T2: c", "T1: r1", "T1: c"]
    assert schedule.transactions == (1, 2)
    assert schedule.initial == ((1, 10), (2, 20))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "a schedule has steps"),
        ("r1; T1: c", "turn 1 'r1': it begins with a transaction"),
        ("T0: r1", "turn 1 'T0: r1'"),
        ("T1: r1; T1: x1; T1: c", "step 2 'T1: x1': no such action; write r1,"),
        ("T1: r1,, c", "step 2 'T1: ': no such action"),
        ("T1: w1", "step 1 'T1: w1': no such action"),
        ("T1: p0, c", "step 1 'T1: p0': no such action"),
        ("T1: w1=99999999999, c", "step 1 'T1: w1=99999999999': a number is larger than 2147483647"),
        ("T1: c; T1: r1", "step 2 'T1: r1': T1 has ended before"),
        ("T1: r1; T2: c", "T1 has no end: add T1: c"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_line_with_its_step(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_schedule(text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_cases_of_hermitage_are_fourteen_and_the_read_only_anomaly() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) == 15
    assert names[-1] == "read-only"
