"""Who sees a later write of a client sees its earlier ones."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import sequential
from lab.history import History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import DOUBT, FAIL, FAILED, INFO, OK, PASS, Serial, judged, one, some, told, with_result


def read(key: Json, *found: Json, **how: Any) -> Operation:
    return one("read", key, [key, list(found)], **how)


TABLE: dict[str, tuple[History, Verdict, set[str]]] = {
    "all": (told(one("write", 0), read(0, "0_2", "0_1", "0_0")), PASS, set()),
    "none yet of one key": (told(read(0, None, None), read(1, "1_1", "1_0")), PASS, set()),
    "the first ones": (told(read(0, None, "0_1", "0_0")), PASS, set()),
    "the last without the first": (told(read(0, "0_2", "0_1", None)), FAILED, {"gap"}),
    "a hole": (told(read(0, "0_2", None, "0_0")), FAILED, {"gap"}),
    "a hole below what is not there yet": (told(read(0, None, "0_1", None)), FAILED, {"gap"}),
    "a key that is 0": (told(read(0, 2, 1, 0)), PASS, set()),
    "a write that stopped": (told(one("write", 0, outcome=INFO), read(0, None, None, "0_0")), PASS, set()),
    "a read that failed": (told(read(0, "0_1", None, outcome=FAIL), read(0, "0_1", "0_0")), PASS, set()),
    "nothing found": (told(one("write", 0), read(0, None, None)), DOUBT, set()),
    "no read": (told(one("write", 0)), DOUBT, set()),
    "a read that is none": (told(read(0, "0_1", "0_0"), one("read", 0, 7)), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), TABLE.values(), ids=TABLE)
def test_a_read_finds_no_gap(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(sequential(), history) == (verdict, names)


def test_a_witness_says_which_write_is_missing() -> None:
    anomaly = sequential()(told(read(5, None, "5_2", None, "5_0"))).anomalies[0]
    assert anomaly.why == (
        'of key 5 operation 0 finds "5_2", but not the write number 2, '
        "which came before it and for which it looked later"
    )


def serial_sequential(seed: int, size: int) -> History:
    """Return writes of subkeys in order and reads in reverse, subkey by subkey, in any interleaving."""
    serial, there = Serial(seed), set[str]()
    random = serial.random
    running: list[tuple[str, int, float, list[Json], list[str]]] = []
    for number in range(random.randint(2, 12)):
        kind, key = random.choice(["write", "read"]), random.randrange(2)
        subkeys = [f"{key}_{place}" for place in range(size)]
        running.append((kind, key, number, [], subkeys if kind == "write" else subkeys[::-1]))
    while running:
        serial.now += 1
        kind, key, since, found, left = current = random.choice(running)
        subkey = left.pop(0)
        if kind == "read":
            found.append(subkey if subkey in there else None)
        else:
            there.add(subkey)
        stopped = kind == "write" and random.random() < 0.2
        if stopped or not left:
            running.remove(current)
            result: Json = [key, found] if kind == "read" else None
            serial.note(kind, key, result, INFO if stopped else OK, since=since)
    whole: list[Json] = [f"7_{place}" for place in reversed(range(size))]
    serial.note("read", 7, [7, whole], OK)
    return serial.history()


@given(seed=st.integers(0, 2**32), size=st.integers(2, 5))
def test_a_serial_execution_passes(seed: int, size: int) -> None:
    assert judged(sequential(), serial_sequential(seed, size)) == (PASS, set())


@given(seed=st.integers(0, 2**32), size=st.integers(2, 5))
def test_a_planted_anomaly_is_caught_and_named(seed: int, size: int) -> None:
    history = serial_sequential(seed, size)
    chosen = some(history, Random(seed), "read")
    place = Random(seed).randint(1, size - 1)
    found: list[Json] = [None if number == place else f"x_{number}" for number in range(size)]
    wrong = with_result(history, chosen.index, [chosen.value, found])
    assert sequential()(wrong).operations == (chosen.index,)
    assert judged(sequential(), wrong) == (FAILED, {"gap"})
