"""A counter stays between what was certainly added and what may have been."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import counter
from lab.history import History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import DOUBT, FAIL, FAILED, INFO, OK, PASS, Serial, judged, one, some, told, with_result


def add(amount: Json, **how: Any) -> Operation:
    return one("add", amount, **how)


def read(result: Json, **how: Any) -> Operation:
    return one("read", None, result, **how)


OUT = {"out-of-bounds"}
TABLE: dict[str, tuple[History, Verdict, set[str]]] = {
    "it starts at 0": (told(read(0), add(1)), PASS, set()),
    "one that is not 0 at first": (told(read(1), add(1)), FAILED, OUT),
    "what was added is read": (told(add(1), add(2), read(3)), PASS, set()),
    "less than was added": (told(add(1), add(2), read(2)), FAILED, OUT),
    "more than was added": (told(add(1), add(2), read(4)), FAILED, OUT),
    "an unknown add counts": (told(add(1), add(2, outcome=INFO), read(3)), PASS, set()),
    "an unknown add does not count": (told(add(1), add(2, outcome=INFO), read(1)), PASS, set()),
    "an unknown add counts late": (told(add(2, outcome=INFO), read(0), read(0), read(2)), PASS, set()),
    "an add that never came back": (told(add(2, outcome=INFO, span=(0, None)), read(2), read(0)), PASS, set()),
    "a failed add does not count": (told(add(1), add(2, outcome=FAIL), read(1)), PASS, set()),
    "a failed add counts": (told(add(1), add(2, outcome=FAIL), read(3)), FAILED, OUT),
    "an add under way counts": (told(add(5, span=(0, 4)), read(5, span=(1, 2))), PASS, set()),
    "an add under way does not count": (told(add(5, span=(0, 4)), read(0, span=(1, 2))), PASS, set()),
    "an add that ends as the read begins": (told(add(5, span=(0, 1)), read(0, span=(1, 2))), PASS, set()),
    "an add after the read counts": (told(read(5, span=(1, 2)), add(5, span=(3, 4))), FAILED, OUT),
    "less than nothing": (told(add(3), add(-5), read(-2)), PASS, set()),
    "less than what was taken": (told(add(3), add(-5), read(-3)), FAILED, OUT),
    "not all that was taken": (told(add(3), add(-5), read(3)), FAILED, OUT),
    "an unknown one takes": (told(add(3), add(-5, outcome=INFO), read(-2)), PASS, set()),
    "adds only": (told(add(1), add(1)), PASS, set()),
    "a read that is no number": (told(add(1), read(1), read("one")), DOUBT, set()),
    "an add of no number": (told(add("one"), read(0)), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
    "neither adds nor reads": (told(one("write", 1)), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), TABLE.values(), ids=TABLE)
def test_a_read_lies_within_bounds(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(counter(), history) == (verdict, names)


def test_a_run_that_has_to_show_something_asks_for_reads() -> None:
    finding = counter(at_least=1)(told(add(1)))
    assert (finding.verdict, finding.why) == (DOUBT, "0 ok reads, at least 1 are needed")


def test_that_nothing_was_read_is_said() -> None:
    assert counter()(told(add(1))).why == "nothing was read, so nothing contradicts 1 adds"


def serial_counter(seed: int) -> History:
    serial, state = Serial(seed), [0]

    def grow(amount: int) -> Json:
        state[0] += amount
        return None

    for _ in range(serial.random.randint(1, 30)):
        amount = serial.random.randint(-5, 9)
        if serial.random.random() < 0.5:
            serial.run("add", amount, lambda a=amount: grow(a))  # type: ignore[misc]
        else:
            serial.run("read", None, lambda: state[0])
    serial.run("read", None, lambda: state[0], OK)
    return serial.history()


@given(seed=st.integers(0, 2**32))
def test_a_serial_execution_passes(seed: int) -> None:
    assert judged(counter(at_least=1), serial_counter(seed)) == (PASS, set())


@given(seed=st.integers(0, 2**32), above=st.booleans())
def test_a_planted_anomaly_is_caught_and_named(seed: int, above: bool) -> None:
    history = serial_counter(seed)
    chosen = some(history, Random(seed), "read")
    everything = 1 + sum(abs(o.value) for o in history.of_kind("add") if isinstance(o.value, int))
    wrong = with_result(history, chosen.index, everything if above else -everything)
    finding = counter()(wrong)
    assert judged(counter(), wrong) == (FAILED, OUT)
    assert finding.operations == (chosen.index,)
