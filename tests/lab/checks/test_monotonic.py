"""Values that grow by one are in the order of the database's own timestamps."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import monotonic
from lab.history import History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import (
    DOUBT,
    FAIL,
    FAILED,
    INFO,
    OK,
    PASS,
    Plant,
    Serial,
    judged,
    one,
    some,
    told,
    with_outcome,
    with_result,
)


def row(value: int, stamp: Json) -> Json:
    return {"val": value, "sts": stamp, "node": 1, "process": 0, "tb": 0}


def add(value: int, stamp: Json, **how: Any) -> Operation:
    return one("add", None, row(value, stamp), **how)


def read(*rows: tuple[int, Json], **how: Any) -> Operation:
    return one("read", None, [row(value, stamp) for value, stamp in rows], **how)


OFF = {"non-monotonic"}
TABLE: dict[str, tuple[History, Verdict, set[str]]] = {
    "in order": (told(add(1, 10), add(2, 20), read((1, 10), (2, 20))), PASS, set()),
    "in order, read in another": (told(add(1, 10), add(2, 20), read((2, 20), (1, 10))), PASS, set()),
    "the later value is the smaller": (told(add(2, 10), add(1, 20), read((2, 10), (1, 20))), FAILED, OFF),
    "read in the order of values": (told(add(2, 10), add(1, 20), read((1, 20), (2, 10))), FAILED, OFF),
    "timestamps as texts": (told(add(1, "9.0000000001"), read((1, "9.0000000001"), (0, "9.0000000002"))), FAILED, OFF),
    "texts that are ordered as numbers": (
        told(add(1, "9.0"), add(2, "10.0"), read((1, "9.0"), (2, "10.0"))),
        PASS,
        set(),
    ),
    "the same timestamp": (told(add(1, 10), add(2, 10), read((2, 10), (1, 10))), PASS, set()),
    "in an earlier read only": (told(add(1, 10), read((2, 5), (1, 10)), read((1, 10))), FAILED, OFF),
    "one lost": (told(add(1, 10), add(2, 20), read((2, 20))), FAILED, {"lost"}),
    "one twice": (told(add(1, 10), read((1, 10), (1, 20))), FAILED, {"duplicate"}),
    "one that failed": (
        told(add(1, 10), one("add", row(2, 20), None, FAIL), read((1, 10), (2, 20))),
        FAILED,
        {"revived"},
    ),
    "an unknown one there": (told(add(1, 10), one("add", None, None, INFO), read((1, 10), (2, 20))), PASS, set()),
    "an unknown one not there": (told(add(1, 10), one("add", None, None, INFO), read((1, 10))), PASS, set()),
    "one settled by its key": (told(add(1, 10), one("add", None, "already applied"), read((1, 10))), PASS, set()),
    "keys": (
        told(
            one("add", [0, None], [0, row(1, 10)]),
            one("add", [1, None], [1, row(1, 5)]),
            one("read", [0, None], [0, [row(1, 10)]]),
            one("read", [1, None], [1, [row(1, 5)]]),
        ),
        PASS,
        set(),
    ),
    "a key out of order": (
        told(one("add", [0, None], [0, row(1, 10)]), one("read", [0, None], [0, [row(2, 5), row(1, 10)]])),
        FAILED,
        OFF,
    ),
    "no read": (told(add(1, 10)), DOUBT, set()),
    "rows without timestamps": (told(add(1, 10), one("read", None, [{"val": 1}])), DOUBT, set()),
    "a timestamp that is none": (told(add(1, 10), read((1, "soon"))), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), TABLE.values(), ids=TABLE)
def test_values_are_in_the_order_of_timestamps(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(monotonic(), history) == (verdict, names)


def test_a_witness_names_both_adds_and_the_read() -> None:
    anomaly = monotonic()(told(add(2, 10), add(1, 20), read((2, 10), (1, 20)))).anomalies[0]
    assert anomaly.operations == (0, 1, 2)
    assert anomaly.why == (
        "operation 2 sees 2 with timestamp 10, and 1 with the later 20 (added by operations 0 and 1)"
    )


def serial_monotonic(seed: int, keys: int) -> History:
    serial = Serial(seed)
    names = list(range(keys)) or [-1]
    state: dict[int, list[Json]] = {key: [] for key in names}

    def act(key: int, kind: str) -> Json:
        if kind == "read":
            seen: Json = serial.random.sample(state[key], len(state[key]))
            return [key, seen] if keys else seen
        inserted = row(len(state[key]), f"{int(serial.now)}.{serial.random.randrange(9)}")
        state[key].append(inserted)
        return [key, inserted] if keys else inserted

    def run(key: int, kind: str, outcome: Any = None) -> None:
        serial.run(kind, [key, None] if keys else None, lambda: act(key, kind), outcome)

    for key in names * 2:
        run(key, "add", OK)
    for _ in range(serial.random.randint(1, 25)):
        run(serial.random.choice(names), serial.random.choice(["add", "add", "read"]))
    serial.settle()
    for key in names:
        run(key, "read", OK)
    return serial.history()


SEEDS = st.integers(0, 2**32)


@given(seed=SEEDS, keys=st.integers(0, 3))
def test_a_serial_execution_passes(seed: int, keys: int) -> None:
    assert judged(monotonic(), serial_monotonic(seed, keys)) == (PASS, set())


def _final_rows(history: History) -> tuple[int, list[Any]]:
    last = max(history.of_kind("read"), key=lambda operation: operation.invoked)
    assert isinstance(last.result, list)
    return last.index, [dict(found) for found in last.result if isinstance(found, dict)]


def _lost(history: History, random: Random) -> History:
    index, rows = _final_rows(history)
    chosen = some(history, random, "add").result
    return with_result(history, index, [found for found in rows if found != chosen])


def _duplicate(history: History, random: Random) -> History:
    index, rows = _final_rows(history)
    return with_result(history, index, [*rows, random.choice(rows)])


def _non_monotonic(history: History, random: Random) -> History:
    index, rows = _final_rows(history)
    one, other = random.sample(rows, 2)
    one["sts"], other["sts"] = other["sts"], one["sts"]
    return with_result(history, index, rows)


def _revived(history: History, random: Random) -> History:
    return with_outcome(history, some(history, random, "add").index, FAIL)


PLANTS: dict[str, Plant] = {
    "lost": _lost,
    "duplicate": _duplicate,
    "non-monotonic": _non_monotonic,
    "revived": _revived,
}


@pytest.mark.parametrize("name", PLANTS)
@given(seed=SEEDS)
def test_a_planted_anomaly_is_caught_and_named(name: str, seed: int) -> None:
    history = PLANTS[name](serial_monotonic(seed, 0), Random(seed))
    assert judged(monotonic(), history) == (FAILED, {name})
