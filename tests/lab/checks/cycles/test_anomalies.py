"""Every anomaly that is planted into a history is found, and called by its name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from msgspec.structs import replace

from lab.checks.cycles import FORBIDDEN, LEVELS, MEANING, Level, Lists, serializable
from lab.history import History
from lab.verdict import Finding, Verdict
from tests.lab.checks.cycles.made import history, serial_executions, together, txn

A, B = "a", "b"

LISTS: dict[str, list[Any]] = {
    "G0": [
        *together([["append", A, 1], ["append", B, 1]], [["append", A, 2], ["append", B, 2]]),
        txn(["r", A, [1, 2]], ["r", B, [2, 1]]),
    ],
    "G1a": [txn(["append", A, 1], outcome="fail"), txn(["r", A, [1]])],
    "G1b": [*together([["append", A, 1], ["append", A, 2]], [["r", A, [1]]]), txn(["r", A, [1, 2]])],
    "G1c": together([["append", A, 1], ["r", B, [1]]], [["append", B, 1], ["r", A, [1]]]),
    "G-single": [
        *together([["append", A, 1], ["append", B, 1]], [["r", A, [1]], ["r", B, []]]),
        txn(["r", A, [1]], ["r", B, [1]]),
    ],
    "G-nonadjacent": together(
        [["append", A, 1]], [["append", B, 1]], [["r", A, [1]], ["r", B, []]], [["r", A, []], ["r", B, [1]]]
    ),
    "G2-item": together([["r", A, []], ["append", B, 1]], [["r", B, []], ["append", A, 1]]),
    "lost-update": [
        *together([["r", A, []], ["append", A, 1]], [["r", A, []], ["append", A, 2]]),
        txn(["r", A, [1, 2]]),
    ],
    "internal": [txn(["append", A, 1]), txn(["r", A, [1]], ["append", A, 2], ["r", A, [1]]), txn(["r", A, [1, 2]])],
    "future-read": [txn(["r", A, [1]], ["append", A, 1])],
    "incompatible-order": [txn(["append", A, 1]), txn(["append", A, 2]), txn(["r", A, [1, 2]]), txn(["r", A, [2]])],
    "duplicate-elements": [txn(["append", A, 1]), txn(["r", A, [1, 1]])],
    "dirty-update": [
        txn(["append", A, 1], outcome="fail"),
        txn(["append", A, 2]),
        txn(["r", A, [1, 2]]),
    ],
    "G-single-process": [
        txn(["append", A, 1], process=7, at=(0, 1)),
        txn(["r", A, []], process=7, at=(2, 3)),
        txn(["r", A, [1]], at=(0, 9)),
    ],
    "G-single-realtime": [txn(["append", A, 1]), txn(["r", A, []]), txn(["r", A, [1]])],
    "G0-realtime": [txn(["append", A, 2]), txn(["append", A, 1]), txn(["r", A, [1, 2]])],
    "G1c-realtime": [txn(["r", A, [1]]), txn(["append", A, 1])],
    "G2-item-realtime": [
        txn(["r", A, []], at=(2, 3)),
        txn(["append", A, 1], ["r", B, []], at=(0, 9)),
        txn(["append", B, 1], at=(0, 1)),
    ],
    "G-nonadjacent-realtime": [
        txn(["r", A, []], at=(2, 3)),
        txn(["append", A, 1], at=(0, 9)),
        txn(["r", A, [1]], ["r", B, []], at=(0, 9)),
        txn(["append", B, 1], at=(0, 1)),
    ],
}
"""By name: transactions on keys of their own that show it. Others may come with it, as they do in the field."""

REGISTERS: dict[str, list[Any]] = {
    "G1a": [txn(["w", A, 1], outcome="fail"), txn(["r", A, 1])],
    "G1b": together([["w", A, 1], ["w", A, 2]], [["r", A, 1]]),
    "G1c": together([["w", A, 1], ["r", B, 1]], [["w", B, 1], ["r", A, 1]]),
    "G-single": together([["w", A, 1], ["w", B, 1]], [["r", A, 1], ["r", B, None]]),
    "G-nonadjacent": together(
        [["w", A, 1]], [["w", B, 1]], [["r", A, 1], ["r", B, None]], [["r", A, None], ["r", B, 1]]
    ),
    "G2-item": together([["r", A, None], ["w", B, 1]], [["r", B, None], ["w", A, 1]]),
    "lost-update": together([["r", A, None], ["w", A, 1]], [["r", A, None], ["w", A, 2]]),
    "internal": [txn(["w", A, 1], ["r", A, None])],
    "cyclic-versions": together([["r", A, 1], ["w", A, 2]], [["r", A, 2], ["w", A, 1]]),
    "G0": [
        *together([["w", A, 1], ["r", B, 2], ["w", B, 3]], [["r", A, 1], ["w", A, 4], ["w", B, 2]]),
    ],
    "G-single-realtime": [txn(["w", A, 1]), txn(["r", A, None])],
    "G1c-realtime": [txn(["r", A, 1]), txn(["w", A, 1])],
}


def test_appends_of_one_transaction_keep_their_order() -> None:
    finding = serializable("list-append")(history(txn(["append", A, 1], ["append", A, 2]), txn(["r", A, [2, 1]])))

    assert finding.verdict is Verdict.FAIL
    assert finding.anomalies[0].why == "T0 appended 1 and then 2 to key a, where they are in the other order"


def names(finding: Finding) -> set[str]:
    """Return the names of what was found."""
    return {anomaly.name for anomaly in finding.anomalies}


def planted(transactions: list[Any], among: History) -> History:
    """Return a history with transactions in the middle of others that know nothing of them."""
    moment = len(among.operations) / 2
    extra = history(*transactions).operations
    last = max((o.index for o in among.operations), default=-1) + 1
    moved = [
        type(o)(
            last + o.index,
            100 + o.process,
            o.kind,
            o.value,
            o.outcome,
            o.invoked / 99 + moment,
            (o.completed or 0) / 99 + moment,
            o.result,
        )
        for o in extra
    ]
    return History((*among.operations, *moved))


@pytest.mark.parametrize("name", LISTS)
@settings(max_examples=10)
@given(among=serial_executions())
def test_an_anomaly_of_lists_is_found_and_named(name: str, among: History) -> None:
    finding = serializable("list-append", level="strict-serializable")(planted(LISTS[name], among))

    assert finding.verdict is Verdict.FAIL
    assert name in names(finding), finding.why


@pytest.mark.parametrize("name", REGISTERS)
@settings(max_examples=10)
@given(among=serial_executions(registers=True))
def test_an_anomaly_of_registers_is_found_and_named(name: str, among: History) -> None:
    finding = serializable("rw-register", level="strict-serializable")(planted(REGISTERS[name], among))

    assert finding.verdict is Verdict.FAIL
    assert name in names(finding), finding.why


ALONE = (
    "G1a",
    "G1c",
    "G-single",
    "G-nonadjacent",
    "G2-item",
    "incompatible-order",
    "G-single-realtime",
    "G1c-realtime",
)


@pytest.mark.parametrize("name", ALONE)
def test_nothing_else_is_named_where_nothing_else_is(name: str) -> None:
    assert names(serializable("list-append", realtime=True)(history(*LISTS[name]))) == {name}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", ALONE)
def test_a_level_forbids_what_its_definition_forbids(name: str, level: Level) -> None:
    finding = serializable("list-append", level=level, realtime=True)(history(*LISTS[name]))

    assert finding.verdict is (Verdict.FAIL if name in FORBIDDEN[level] else Verdict.PASS)


def test_every_name_that_a_level_forbids_is_planted_here_and_has_a_meaning() -> None:
    cycles = {"G0", "G1c", "G2-item", "G-nonadjacent"}
    forbidden = FORBIDDEN["strict-serializable"]

    assert forbidden - {f"{name}-process" for name in cycles} <= {*LISTS, *REGISTERS}
    assert {name.removesuffix("-process").removesuffix("-realtime") for name in forbidden} == set(MEANING)


@pytest.mark.parametrize("name", [name for name in LISTS if name.startswith("G") and name not in {"G1a", "G1b"}])
def test_a_cycle_leads_back_to_where_it_began_and_says_why_at_each_step(name: str) -> None:
    finding = serializable("list-append", level="strict-serializable")(history(*LISTS[name]))

    (anomaly, *_) = [anomaly for anomaly in finding.anomalies if anomaly.name == name]
    following = [*anomaly.cycle[1:], anomaly.cycle[0]]
    assert [step.target for step in anomaly.cycle] == [step.source for step in following]
    assert all(f"T{step.source}" in step.because and f"T{step.target}" in step.because for step in anomaly.cycle)
    assert len({step.source for step in anomaly.cycle}) == len(anomaly.cycle)


def test_a_witness_says_what_was_read_and_what_was_missed() -> None:
    finding = serializable("list-append")(history(*LISTS["G2-item"]))

    assert finding.why == (
        "not serializable: 1 x G2-item. G2-item, write skew: transactions missed each other's writes in a circle. "
        "T0 comes before T1: T0 read key a as [], without T1's append of 1; "
        "T1 comes before T0: T1 read key b as [], without T0's append of 1"
    )


FEW = 300_000
"""Effort that suffices to look at one component, and for next to nothing in it."""


def test_an_effort_that_is_used_up_still_fails_what_no_order_explains() -> None:
    skews = [
        txn(*body, at=(0, 1))
        for n in range(3)
        for body in ([["r", n, []], ["append", -n - 1, 1]], [["r", -n - 1, []], ["append", n, 1], ["r", "z", []]])
    ]

    assert serializable("list-append", effort=0)(history(*skews)).verdict is Verdict.FAIL
    assert serializable("list-append", effort=FEW)(history(*skews)).verdict is Verdict.FAIL


def test_an_effort_that_is_used_up_is_doubt_where_the_level_allows_what_was_found() -> None:
    made = history(*LISTS["G2-item"])

    assert serializable("list-append", level="snapshot-isolation")(made).verdict is Verdict.PASS
    assert serializable("list-append", level="snapshot-isolation", effort=0)(made).verdict is Verdict.INCONCLUSIVE


def test_an_effort_that_is_used_up_for_real_time_is_doubt_only_where_real_time_counts() -> None:
    made = history(*LISTS["G2-item-realtime"])

    assert serializable("list-append", level="strict-serializable", effort=0)(made).verdict is Verdict.INCONCLUSIVE
    told = serializable("list-append", realtime=True, effort=0)(made)
    assert told.verdict is Verdict.PASS
    assert "not all circles of real time" in told.why


def test_a_value_that_is_written_twice_cannot_be_judged() -> None:
    finding = serializable("list-append")(history(txn(["append", A, 1]), txn(["append", A, 1]), txn(["r", A, [1]])))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "operations 0 and 1 both write 1 to key 'a'" in finding.why


def test_a_value_out_of_nowhere_is_doubt() -> None:
    finding = serializable("list-append")(history(txn(["append", A, 1]), txn(["r", A, [1, 9]])))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "9 in key a" in finding.why


@pytest.mark.parametrize(
    "nothing", [history(), history(txn(["r", A, []], outcome="info")), history(txn(["append", A, 1]))]
)
def test_nothing_seen_is_doubt(nothing: History) -> None:
    assert serializable("list-append")(nothing).verdict is Verdict.INCONCLUSIVE


def test_what_was_settled_by_its_key_is_done_though_its_reads_are_lost() -> None:
    made = history(txn(["append", A, 1]), txn(["r", A, [1]], ["append", A, 2]), txn(["r", A, [1, 2]]))
    settled = [o if o.index != 1 else replace(o, result="already applied") for o in made.operations]

    assert serializable("list-append")(History(tuple(settled))).verdict is Verdict.PASS
    gone = [o if o.index != 2 else replace(o, result=[["r", A, [2]]]) for o in settled]
    assert serializable("list-append", level="strict-serializable")(History(tuple(gone))).verdict is Verdict.FAIL


FOREIGN: dict[str, list[Any]] = {
    "lost-update": together([["r", A, 0], ["w", A, 1]], [["r", A, 0], ["w", A, 2]]),
    "G2-item": together([["r", A, 0], ["r", B, 0], ["w", B, 1]], [["r", A, 0], ["r", B, 0], ["w", A, 1]]),
    "G-single": together([["r", A, 0], ["w", A, 1], ["w", B, 1]], [["r", A, 0], ["r", B, 1]]),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_registers_held_before_the_history_began_is_a_version_like_others(name: str) -> None:
    finding = serializable("rw-register")(history(*FOREIGN[name]))

    assert finding.verdict is Verdict.FAIL
    assert name in names(finding), finding.why


def test_values_of_registers_that_nobody_wrote_are_told_once_and_are_no_failure() -> None:
    """Two keys that hold the same value are two versions, and nothing has been written here at all."""
    finding = serializable("rw-register")(history(txn(["r", A, 0], ["r", B, 0]), txn(["r", A, 0]), txn(["r", B, 7])))

    assert finding.verdict is Verdict.PASS
    assert finding.why.endswith("not on record as written: 0 in key a; 0 in key b; 7 in key b")


@pytest.mark.parametrize("odd", ["text", 1.5, True, 2**70, [1], {"a": 1}])
def test_a_value_of_another_kind_that_was_only_read_changes_nothing_for_the_others(odd: Any) -> None:
    lists = history(*LISTS["G1a"], txn(["r", "z", [odd]]))
    registers = history(*REGISTERS["G1a"], txn(["r", "z", odd]))

    assert names(serializable("list-append")(lists)) == {"G1a"}
    assert names(serializable("rw-register")(registers)) == {"G1a"}


@pytest.mark.parametrize(
    ("workload", "micro"),
    [("list-append", ["w", A, 1]), ("list-append", ["r", A, 0]), ("rw-register", ["append", A, 1])],
)
def test_transactions_of_the_other_model_are_no_pass(workload: Lists, micro: Any) -> None:
    finding = serializable(workload)(history(txn(micro), txn(["r", "z", None])))

    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "operation 0" in finding.why


def test_a_stale_read_of_an_overwritten_value_is_seen_where_real_time_counts() -> None:
    made = history(txn(["w", A, 1]), txn(["w", A, 2]), txn(["r", A, 1]))

    strict = serializable("rw-register", level="strict-serializable")(made)
    assert "G-single-realtime" in names(strict)
    assert serializable("rw-register")(made).verdict is Verdict.PASS


def test_real_time_says_nothing_of_versions_that_updates_put_in_the_other_order() -> None:
    made = history(txn(["r", A, 2], ["w", A, 1]), txn(["w", A, 2]))

    assert names(serializable("rw-register", level="strict-serializable")(made)) == {"G0-realtime", "G1c-realtime"}


def test_a_version_that_is_older_by_the_clock_is_told_so() -> None:
    made = history(
        txn(["w", A, 1], at=(0, 1)),
        txn(["w", A, 2], ["r", B, 1], at=(2, 9)),
        txn(["r", A, 2], ["w", B, 1], at=(2, 9)),
    )
    (anomaly,) = serializable("rw-register", level="strict-serializable")(made).anomalies

    assert anomaly.name == "G1c"
    reads = history(txn(["w", A, 1], ["r", B, 5], at=(0, 1)), txn(["w", A, 2], ["w", B, 5], at=(2, 9)))
    found = serializable("rw-register", level="strict-serializable")(reads)
    assert any(
        "T0 had written 1 to key a before T1, which wrote 2, was invoked" in step.because
        for a in found.anomalies
        for step in a.cycle
    )
