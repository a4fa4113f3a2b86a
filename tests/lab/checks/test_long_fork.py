"""Reads of the same keys can be put in one order."""

from __future__ import annotations

from itertools import combinations
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import long_fork
from lab.history import History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import DOUBT, FAIL, FAILED, INFO, OK, PASS, Serial, judged, numbered, one, told


def read(*found: tuple[Json, Json], **how: Any) -> Operation:
    asked: Json = [["r", key, None] for key, _ in found]
    return one("read", asked, [["r", key, value] for key, value in found], **how)


def write(key: Json, value: Json = 1, **how: Any) -> Operation:
    return one("write", [["w", key, value]], [["w", key, value]], **how)


FORK = (read((0, 1), (1, None)), read((1, 1), (0, None)))
TABLE: dict[str, tuple[History, Verdict, set[str]]] = {
    "a fork": (told(*FORK), FAILED, {"long-fork"}),
    "a fork between other reads": (
        told(read((0, 1), (1, 1), (2, None)), read((0, 1), (1, 1), (2, 1)), read((0, 1), (1, None), (2, 1))),
        FAILED,
        {"long-fork"},
    ),
    "a fork of reads that see one and two keys": (
        told(read((0, 1), (1, None), (2, None)), read((0, None), (1, 1), (2, 1))),
        FAILED,
        {"long-fork"},
    ),
    "a chain": (told(read((0, None), (1, None)), read((0, 1), (1, None)), read((0, 1), (1, 1))), PASS, set()),
    "a chain read backwards": (told(read((0, 1), (1, 1)), read((0, 1), (1, None))), PASS, set()),
    "reads of two groups": (told(read((0, 1), (1, None)), read((1, 1), (2, None))), DOUBT, set()),
    "a fork of a read that failed": (told(FORK[0], read((1, 1), (0, None), outcome=FAIL), FORK[0]), PASS, set()),
    "a fork of an unknown read": (told(FORK[0], read((1, 1), (0, None), outcome=INFO), FORK[0]), PASS, set()),
    "a key that is written twice": (told(write(0), write(0, 2), *FORK), DOUBT, set()),
    "a key with two values": (told(read((0, 1), (1, 1)), read((0, 2), (1, 1))), DOUBT, set()),
    "texts for keys": (told(read(("x", 1), ("y", None)), read(("x", None), ("y", 1))), FAILED, {"long-fork"}),
    "one key a read": (told(read((0, 1)), read((0, None))), DOUBT, set()),
    "a read that is none": (told(FORK[0], FORK[0], one("read", None, 7)), DOUBT, set()),
    "writes only": (told(write(0), write(1)), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), TABLE.values(), ids=TABLE)
def test_reads_can_be_ordered(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(long_fork(), history) == (verdict, names)


def test_a_group_that_is_given_must_be_that_of_every_read() -> None:
    assert judged(long_fork(group=2), told(*FORK)) == (FAILED, {"long-fork"})
    finding = long_fork(group=3)(told(*FORK))
    assert (finding.verdict, finding.why) == (DOUBT, "every read must be of 3 keys, but operation 0 is not")


def test_a_witness_is_a_sentence_about_two_operations() -> None:
    anomaly = long_fork()(told(*FORK)).anomalies[0]
    assert anomaly.operations == (0, 1)
    assert anomaly.why == (
        "of keys 0, 1, operation 0 sees the write of 0 but not that of 1, "
        "operation 1 sees the opposite: the two cannot be ordered"
    )


def serial_forks(seed: int, size: int) -> History:
    serial, state = Serial(seed), dict[int, Json]()
    random, keys = serial.random, range(2 * size)
    unwritten = random.sample(keys, len(keys))

    def snapshot(group: list[int]) -> Json:
        return [["r", key, state.get(key)] for key in group]

    def put(key: int) -> Json:
        state[key] = 1
        return [["w", key, 1]]

    for _ in range(random.randint(1, 25)):
        if unwritten and random.random() < 0.4:
            key = unwritten.pop()
            serial.run("write", [["w", key, 1]], lambda k=key: put(k))  # type: ignore[misc]
        else:
            group = _group(random, size)
            serial.run("read", [["r", k, None] for k in group], lambda g=group: snapshot(g))  # type: ignore[misc]
    for _ in range(3):
        group = _group(random, size)
        serial.run("read", [["r", k, None] for k in group], lambda g=group: snapshot(g), OK)  # type: ignore[misc]
    return serial.history()


def _group(random: Random, size: int) -> list[int]:
    start = random.choice([0, size])
    return random.sample(range(start, start + size), size)


SEEDS, SIZES = st.integers(0, 2**32), st.integers(2, 5)


@given(seed=SEEDS, size=SIZES)
def test_a_serial_execution_passes(seed: int, size: int) -> None:
    assert judged(long_fork(group=size), serial_forks(seed, size)) == (PASS, set())


@given(seed=SEEDS, size=SIZES)
def test_a_planted_fork_is_caught_and_named(seed: int, size: int) -> None:
    random = Random(seed)
    one_sees = set(random.sample(range(size), random.randint(1, size - 1)))
    other_sees = {random.choice([key for key in range(size) if key not in one_sees])}
    pair = [read(*((key, 1 if key in seen else None) for key in range(size))) for seen in (one_sees, other_sees)]
    late = [read(*zip(range(size), [1] * size, strict=True), span=(9e3, 9e3 + 1))]
    history = numbered([*serial_forks(seed, size).operations, *pair, *late])
    assert judged(long_fork(), history) == (FAILED, {"long-fork"})


@given(snapshots=st.lists(st.sets(st.integers(0, 3)), min_size=2, max_size=8))
def test_it_finds_a_fork_where_comparing_every_two_reads_does(snapshots: list[set[int]]) -> None:
    history = told(*(read(*((key, 1 if key in seen else None) for key in range(4))) for seen in snapshots))
    forked = any(not (a <= b or b <= a) for a, b in combinations(snapshots, 2))
    assert judged(long_fork(), history)[0] is (FAILED if forked else PASS)
