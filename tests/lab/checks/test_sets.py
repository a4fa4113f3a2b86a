"""What was added to a set stays there: at the end (set), and from the moment that it is known (set-full)."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.checks import set_full, set_kept
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
    numbered,
    one,
    some,
    told,
    with_outcome,
    with_result,
)

SEEDS = st.integers(0, 2**32)


def add(element: Json, **how: object) -> Operation:
    return one("add", element, **how)  # type: ignore[arg-type]


def read(*elements: Json, **how: object) -> Operation:
    return one("read", None, list(elements), **how)  # type: ignore[arg-type]


KEPT: dict[str, tuple[History, Verdict, set[str]]] = {
    "all there": (told(add(0), add(1), read(1, 0)), PASS, set()),
    "one lost": (told(add(0), add(1), read(1)), FAILED, {"lost"}),
    "one that nobody added": (told(add(0), read(0, 7)), FAILED, {"unexpected"}),
    "true is not 1": (told(add(1), read(True)), FAILED, {"lost", "unexpected"}),
    "one that failed": (told(add(0), add(1, outcome=FAIL), read(0, 1)), FAILED, {"revived"}),
    "one that failed and is not there": (told(add(0), add(1, outcome=FAIL), read(0)), PASS, set()),
    "one that failed and was added again": (told(add(0, outcome=FAIL), add(0), read(0)), PASS, set()),
    "an unknown one there": (told(add(0), add(1, outcome=INFO), read(0, 1)), PASS, set()),
    "an unknown one not there": (told(add(0), add(1, outcome=INFO), read(0)), PASS, set()),
    "one twice": (told(add(0), read(0, 0)), FAILED, {"duplicate"}),
    "lists and objects": (told(add([1, {"a": 2}]), read([1, {"a": 2}])), PASS, set()),
    "an earlier read misses one": (told(add(0), read(), read(0)), PASS, set()),
    "one of the last reads misses one": (told(add(0), read(), read(0), read()), FAILED, {"lost"}),
    "of two last reads that overlap one misses one": (
        told(add(0, span=(0, 1)), read(span=(2, 5)), read(0, span=(3, 4))),
        FAILED,
        {"lost"},
    ),
    "the last read is before an add it misses": (told(add(0), read(0), add(1)), DOUBT, set()),
    "the last read overlaps an add it misses": (
        told(add(0), add(1, span=(30, 35)), read(0, span=(34, 40))),
        DOUBT,
        set(),
    ),
    "the last read is before an add, and misses an older one": (told(add(0), read(), add(1)), FAILED, {"lost"}),
    "no read": (told(add(0)), DOUBT, set()),
    "no ok read": (told(add(0), read(outcome=INFO)), DOUBT, set()),
    "a read that is no list": (told(add(0), one("read", None, 7)), DOUBT, set()),
    "nothing known": (told(add(0, outcome=INFO), read()), DOUBT, set()),
    "nothing added": (told(read()), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
    "keys": (
        told(add([0, 5]), add([1, 6]), one("read", [0, None], [0, [5]]), one("read", [1, None], [1, [6]])),
        PASS,
        set(),
    ),
    "a key that lost one": (
        told(add([0, 5]), add([1, 5]), one("read", [0, None], [0, [5]]), one("read", [1, None], [1, []])),
        FAILED,
        {"lost"},
    ),
    "not all adds are of keys": (told(add([0, 5]), add(7), read(0, [5])), FAILED, {"lost", "unexpected"}),
    "pairs that are elements": (told(add([0, 5]), add([0, 6]), read([0, 5], [0, 6])), PASS, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), KEPT.values(), ids=KEPT)
def test_a_set_keeps_what_was_added(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(set_kept(), history) == (verdict, names)


def at(*spans: tuple[str, float, float, list[Json]]) -> History:
    """Return a history of `add`s of 0 and 1 and reads with their spans."""
    return numbered(
        [
            one("add", int(what[3:]), span=(began, ended)) if what != "read" else read(*seen, span=(began, ended))
            for what, began, ended, seen in spans
        ]
    )


FULL: dict[str, tuple[History, Verdict, set[str]]] = {
    "never read": (told(add(0)), DOUBT, set()),
    "never confirmed, never seen": (told(add(0, outcome=INFO), read()), DOUBT, set()),
    "seen by a read before, that ends within": (at(("read", 0, 2, [0]), ("add0", 1, 3, [])), PASS, set()),
    "seen by a read around it": (at(("read", 0, 3, [0]), ("add0", 1, 2, [])), PASS, set()),
    "seen by a read within": (at(("add0", 0, 3, []), ("read", 1, 2, [0])), PASS, set()),
    "seen by a read that begins within": (at(("add0", 0, 2, []), ("read", 1, 3, [0])), PASS, set()),
    "seen by a read after": (at(("add0", 0, 1, []), ("read", 2, 3, [0])), PASS, set()),
    "missed by a read after": (at(("add0", 0, 1, []), ("read", 2, 3, [])), FAILED, {"lost"}),
    "missed by a read before, that ends within": (at(("read", 0, 2, []), ("add0", 1, 3, [])), DOUBT, set()),
    "missed by a read that begins within": (at(("add0", 0, 2, []), ("read", 1, 3, [])), DOUBT, set()),
    "missed by a read that begins as it ends": (at(("add0", 0, 2, []), ("read", 2, 3, [])), DOUBT, set()),
    "missed by a read after, then seen": (
        at(("add0", 0, 1, []), ("read", 2, 3, []), ("read", 4, 5, [0])),
        PASS,
        {"stale"},
    ),
    "unknown, seen, then missed": (told(add(0, outcome=INFO), read(0), read()), FAILED, {"lost"}),
    "seen by all that begin, missed by a longer one": (
        at(("read", 0, 9, []), ("add0", 1, 2, []), ("read", 3, 4, [0])),
        PASS,
        set(),
    ),
    "two seen, one after the other lost": (
        at(("add0", 0, 1, []), ("add1", 0, 1, []), ("read", 2, 3, [0, 1]), ("read", 4, 5, [0]), ("read", 6, 7, [])),
        FAILED,
        {"lost"},
    ),
    "lost, as the read that sees it began first": (
        at(("add0", 0, 1, []), ("add1", 0, 1, []), ("read", 2, 9, [0, 1]), ("read", 3, 8, [1])),
        FAILED,
        {"lost"},
    ),
    "one that failed": (told(add(0), add(1, outcome=FAIL), read(0, 1)), FAILED, {"revived"}),
    "one that failed and was added again": (told(add(0, outcome=FAIL), add(0), read(0)), PASS, set()),
    "missed by a read that ended before, seen by an older one": (
        at(("read", 1, 5, [0]), ("read", 2, 3, []), ("add0", 4, 6, [])),
        PASS,
        set(),
    ),
    "one that nobody added": (told(add(0), read(0, 7)), FAILED, {"unexpected"}),
    "one before it was added": (told(read(0), add(0), read(0)), FAILED, {"unexpected"}),
    "one twice": (told(add(0), read(0, 0), read(0)), FAILED, {"duplicate"}),
    "a read that is no list": (told(add(0), read(0), one("read", None, 7)), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
    "keys": (told(add([0, 5]), one("read", [0, None], [0, [5]])), PASS, set()),
    "a key that was never read": (told(add([0, 5]), add([1, 5]), one("read", [0, None], [0, [5]])), DOUBT, set()),
    "a key that lost one": (told(add(["a", 5]), one("read", ["a", None], ["a", []])), FAILED, {"lost"}),
    "pairs added, bare values read": (
        told(add([0, 5]), add([0, 6]), one("read", [0, None], [5, 6])),
        FAILED,
        {"lost", "unexpected"},
    ),
}


@pytest.mark.parametrize(("history", "verdict", "names"), FULL.values(), ids=FULL)
def test_what_is_known_to_be_in_a_set_stays_there(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(set_full(), history) == (verdict, names)


def test_a_linearizable_set_may_not_be_stale() -> None:
    history = told(add(0), read(), read(0))
    assert judged(set_full(linearizable=True), history) == (FAILED, {"stale"})


def test_bare_answers_to_reads_of_a_key_are_taken_for_its_elements_when_asked_to() -> None:
    history = told(add([0, 5]), add([0, 6]), one("read", [0, None], [5, 6]))
    assert judged(set_full(keyed=True), history) == (PASS, set())


def test_a_witness_is_a_sentence_about_operations() -> None:
    finding = set_full()(told(add(0), add(1), read(0, 1), read(1)))
    assert finding.anomalies[0].operations == (0, 2, 3)
    assert finding.anomalies[0].why == (
        "0 is lost: operation 0 added it and was told ok, operation 3 began later and does not see it, "
        "the last read that does, 2, began before that"
    )


def serial_set(seed: int, *, keys: int = 0) -> History:
    """Return adds of all outcomes and reads, then a read that sees the end, for each key if there are any."""
    serial = Serial(seed)
    random, count = serial.random, serial.random.randint(1, 25)
    names = list(range(keys)) or [-1]
    state: dict[int, list[Json]] = {key: [] for key in names}

    def run(key: int, kind: str, element: Json, outcome: object = None) -> None:
        def effect() -> Json:
            if kind == "add":
                state[key].append(element)
                return None
            seen: Json = random.sample(state[key], len(state[key]))
            return [key, seen] if keys else seen

        serial.run(kind, [key, element] if keys else element, effect, outcome)  # type: ignore[arg-type]

    for key in names:
        run(key, "add", f"first of {key}", OK)
    for number in range(count):
        kind = random.choice(["add", "add", "read"])
        run(random.choice(names), kind, number if kind == "add" else None)
    serial.settle()
    for key in names:
        run(key, "read", None, OK)
    return serial.history()


@given(seed=SEEDS, keys=st.integers(0, 3))
def test_a_serial_execution_passes(seed: int, keys: int) -> None:
    history = serial_set(seed, keys=keys)
    assert judged(set_kept(), history) == (PASS, set())
    assert judged(set_full(linearizable=True), history) == (PASS, set())


def _last(history: History) -> tuple[int, list[Json]]:
    last = max(history.of_kind("read"), key=lambda operation: operation.invoked)
    assert isinstance(last.result, list)
    return last.index, list(last.result)


def _lost(history: History, random: Random) -> History:
    index, seen = _last(history)
    seen.remove(some(history, random, "add").value)
    return with_result(history, index, seen)


def _unexpected(history: History, random: Random) -> History:
    index, seen = _last(history)
    return with_result(history, index, [*seen, "nobody's"])


def _duplicate(history: History, random: Random) -> History:
    index, seen = _last(history)
    return with_result(history, index, [*seen, random.choice(seen)])


def _revived(history: History, random: Random) -> History:
    return with_outcome(history, some(history, random, "add").index, FAIL)


PLANTS: dict[str, Plant] = {"lost": _lost, "unexpected": _unexpected, "duplicate": _duplicate, "revived": _revived}


@pytest.mark.parametrize("name", PLANTS)
@given(seed=SEEDS)
def test_a_planted_anomaly_is_caught_and_named(name: str, seed: int) -> None:
    history = PLANTS[name](serial_set(seed), Random(seed))
    assert judged(set_kept(), history) == (FAILED, {name})
    verdict, names = judged(set_full(), history)
    assert (verdict, names - {"stale"}) == (FAILED, {name})


@given(seed=SEEDS)
def test_a_planted_stale_read_is_caught_and_named(seed: int) -> None:
    history = serial_set(seed)
    element = some(history, Random(seed), "add").value
    end = 1 + max(operation.completed or operation.invoked for operation in history.operations)
    _, seen = _last(history)
    missing, whole = [e for e in seen if e != element], list(seen)
    more = [read(*missing, span=(end, end + 1)), read(*whole, span=(end + 2, end + 3))]
    assert judged(set_full(linearizable=True), numbered([*history.operations, *more])) == (FAILED, {"stale"})
