"""Who sees a write sees those acknowledged before it began; of inserts that exclude each other one commits."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import at_most_one_insert, comments
from lab.history import History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import DOUBT, FAIL, FAILED, INFO, OK, PASS, Serial, judged, numbered, one, told


def write(value: Json, **how: Any) -> Operation:
    return one("write", value, **how)


def read(*seen: Json, **how: Any) -> Operation:
    return one("read", None, list(seen), **how)


REVERSE = {"causal-reverse"}
COMMENTS: dict[str, tuple[History, Verdict, set[str]]] = {
    "both": (told(write(1), write(2), read(1, 2)), PASS, set()),
    "the first": (told(write(1), write(2), read(1)), PASS, set()),
    "the second without the first": (told(write(1), write(2), read(2)), FAILED, REVERSE),
    "the third without the second": (told(write(1), write(2), write(3), read(1, 3)), FAILED, REVERSE),
    "writes that overlap": (told(write(1, span=(0, 3)), write(2, span=(2, 4)), read(2, span=(5, 6))), PASS, set()),
    "a write that began as the first ended": (
        told(write(1, span=(0, 2)), write(2, span=(2, 4)), read(2, span=(5, 6))),
        PASS,
        set(),
    ),
    "an unknown first": (told(write(1, outcome=INFO), write(2), read(2)), PASS, set()),
    "an unknown second": (told(write(1), write(2, outcome=INFO), read(2)), FAILED, REVERSE),
    "a failed first": (told(write(1, outcome=FAIL), write(2), read(2)), PASS, set()),
    "a read that failed": (told(write(1), write(2), read(2, outcome=FAIL), read(1, 2)), PASS, set()),
    "keys": (told(write([0, 1]), write([1, 2]), one("read", [1, None], [1, [2]])), PASS, set()),
    "a key": (told(write([1, 1]), write([1, 2]), one("read", [1, None], [1, [2]])), FAILED, REVERSE),
    "nothing seen": (told(write(1), read()), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), COMMENTS.values(), ids=COMMENTS)
def test_who_sees_a_write_sees_those_before(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(comments(), history) == (verdict, names)


def test_a_witness_names_the_writes_and_the_read() -> None:
    anomaly = comments()(told(write(7), write(8), read(8))).anomalies[0]
    assert anomaly.operations == (0, 1, 2)
    assert anomaly.why == (
        "operation 2 sees 8 of operation 1, but not 7, which operation 0 was told is written before that began"
    )


def serial_comments(seed: int) -> History:
    serial, state = Serial(seed), list[Json]()

    def put(value: int) -> Json:
        state.append(value)
        return None

    serial.run("write", -1, lambda: put(-1), OK)
    for number in range(serial.random.randint(1, 25)):
        if serial.random.random() < 0.6:
            serial.run("write", number, lambda n=number: put(n))  # type: ignore[misc]
        else:
            serial.run("read", None, lambda: [*state])
    serial.run("read", None, lambda: [*state], OK)
    return serial.history()


@given(seed=st.integers(0, 2**32))
def test_a_serial_execution_passes(seed: int) -> None:
    assert judged(comments(), serial_comments(seed)) == (PASS, set())


@given(seed=st.integers(0, 2**32))
def test_a_planted_anomaly_is_caught_and_named(seed: int) -> None:
    history = serial_comments(seed)
    begun = 10 + max(operation.completed or operation.invoked for operation in history.operations)
    written = [o.value for o in history.of_kind("write") if o.outcome is OK]
    seen = [value for value in written if value != Random(seed).choice(written)]
    more = [write(99, span=(begun, begun + 1)), read(*seen, 99, span=(begun + 2, begun + 3))]
    assert judged(comments(), numbered([*history.operations, *more])) == (FAILED, REVERSE)


def insert(key: Json, row: int, **how: Any) -> Operation:
    return one("insert", [key, [row, None]], **how)


INSERTS: dict[str, tuple[History, Verdict, set[str]]] = {
    "one a key": (told(insert(0, 1), insert(0, 2, outcome=FAIL), insert(1, 3)), PASS, set()),
    "two of a key": (told(insert(0, 1), insert(0, 2)), FAILED, {"G2"}),
    "a second that is unknown": (told(insert(0, 1), insert(0, 2, outcome=INFO)), PASS, set()),
    "none acknowledged": (told(insert(0, 1, outcome=FAIL), insert(0, 2, outcome=INFO)), DOUBT, set()),
    "an insert that is none": (told(insert(0, 1), one("insert", 7)), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), INSERTS.values(), ids=INSERTS)
def test_of_two_inserts_one_commits(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(at_most_one_insert(), history) == (verdict, names)


@given(seed=st.integers(0, 2**32), plant=st.booleans())
def test_inserts_of_a_serial_execution_pass_and_a_second_one_is_caught(seed: int, plant: bool) -> None:
    serial, taken = Serial(seed), set[int]()
    for number in range(serial.random.randint(1, 20)):
        key = number // 2
        taken_already = key in taken
        serial.run("insert", [key, [number, None]], lambda k=key: taken.add(k), FAIL if taken_already else None)  # type: ignore[misc]
    serial.run("insert", [99, [99, None]], lambda: None, OK)
    if plant:
        serial.run("insert", [99, [None, 100]], lambda: None, OK)
    expected = (FAILED, {"G2"}) if plant else (PASS, set[str]())
    assert judged(at_most_one_insert(), serial.history()) == expected
