"""The checks of single workloads, and what final reads settle, on histories of a few lines."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from lab.checks import exactly_once, succeeds
from lab.checks.appends_kept import appends_kept
from lab.checks.chains import acknowledged_parts
from lab.checks.on_call import somebody_on_call
from lab.checks.orders import paid_once, stock_kept
from lab.checks.resolution import resolutions, resolved, settled, with_final_reads
from lab.checks.values_written import values_written
from lab.history import REFUSED, Final, History, Operation, Outcome
from lab.verdict import Check, Judgement, Verdict, passed

OK, FAIL, INFO = Outcome.OK, Outcome.FAIL, Outcome.INFO


def op(
    index: int, kind: str, value: Any, outcome: Outcome = OK, result: Any = None, at: float | None = None
) -> Operation:
    """Return an operation of client 0 that takes one second from *at* on; one of unknown outcome never comes back."""
    began = float(index * 2) if at is None else at
    ended = None if outcome is INFO else began + 1
    unit = None if kind == "read" else f"u{index}"
    return Operation(index, 0, kind, value, outcome, began, ended, result, unit)


def history(*operations: Operation, state: Any = None, effects: dict[str, int] | None = None) -> History:
    final = None if effects is None else Final(state, effects, 0, 0)
    return History(operations, final=final)


# --- what final reads settle ------------------------------------------------------------------------------------

DOUBTS = history(
    op(0, "add", 1, INFO),
    op(1, "add", 2, INFO),
    op(2, "read", None, OK, 3),
    op(3, "add", 4, FAIL),
    effects={"u0": 1, "u3": 1},
)


def test_an_unknown_outcome_whose_effect_is_found_becomes_done_and_one_without_becomes_failed() -> None:
    found, absent, read, phantom = resolved(DOUBTS).operations
    assert (found.outcome, found.result) == (OK, "already applied")
    assert absent.outcome is FAIL
    assert read is DOUBTS.operations[2]
    assert phantom is DOUBTS.operations[3], "what was reported failed, and is there, stays a contradiction"
    assert resolutions(DOUBTS) == (1, 1)


def test_what_was_settled_may_have_happened_at_any_time_up_to_the_end_and_its_client_went_on_without_it() -> None:
    found = resolved(DOUBTS).operations[0]
    assert found.completed is not None
    assert found.completed > max(o.completed or 0.0 for o in DOUBTS.operations)
    assert found.process not in {o.process for o in DOUBTS.operations}


def test_without_final_reads_nothing_is_settled() -> None:
    cut = history(*DOUBTS.operations)
    assert resolved(cut) is cut
    assert resolutions(cut) == (0, 0)


def test_final_reads_come_after_everything_as_operations_of_their_own() -> None:
    reads = [{"kind": "read", "value": None, "result": 3}, {"kind": "read", "value": 1, "result": [1, 2]}]
    whole = history(*DOUBTS.operations, state={"reads": reads}, effects={"u0": 1})
    *before, first, second = with_final_reads(resolved(whole)).operations
    assert len(before) == 4
    assert [(o.index, o.kind, o.value, o.result, o.outcome) for o in (first, second)] == [
        (4, "read", None, 3, OK),
        (5, "read", 1, [1, 2], OK),
    ]
    assert first.invoked > max(o.completed or 0.0 for o in before)
    assert second.invoked > (first.completed or 0.0)
    assert first.process not in {o.process for o in before}


@pytest.mark.parametrize("state", [None, [], {}, {"reads": None}, {"reads": [3, {}]}])
def test_a_state_without_final_reads_adds_none(state: Any) -> None:
    assert with_final_reads(history(op(0, "add", 1), state=state, effects={})).operations == (op(0, "add", 1),)


def test_a_settled_check_says_how_many_outcomes_were_settled() -> None:
    seen: list[History] = []

    def judge(history: History) -> Judgement:
        seen.append(history)
        return passed("all is well")

    finding = settled(Check("c", "says", judge))(DOUBTS)
    assert finding.why == "all is well; 2 unknown outcomes settled by final reads: 1 done, 1 not"
    assert seen[0].count(INFO) == 0


def test_the_ledger_tells_how_many_unknown_units_were_found() -> None:
    whole = history(*DOUBTS.operations[:3], op(4, "add", 1), effects={"u0": 1, "u4": 1})
    assert exactly_once()(whole).why == "1 units right, 2 reported as unknown (1 of them found, 1 not)"


def test_a_condition_that_does_not_hold_is_an_answer_and_no_failure_of_the_service() -> None:
    refused = replace(op(1, "cas", [1, [2, 3]], FAIL), errors=("40001 at STATEMENT", REFUSED))
    assert refused.answered
    assert succeeds()(history(op(0, "add", 1), refused)).verdict is Verdict.PASS
    assert succeeds()(history(op(0, "add", 1), replace(refused, errors=()))).verdict is Verdict.FAIL


# --- appends kept -----------------------------------------------------------------------------------------------


def append(index: int, key: int, value: int, outcome: Outcome = OK) -> Operation:
    return op(index, "txn", [["append", key, value]], outcome, [["append", key, value]])


def last_read(at: float = 90.0, **lists: list[int]) -> Operation:
    reads = [["r", int(key[1:]), elements] for key, elements in lists.items()]
    return op(9, "txn", [["r", key, None] for _, key, _ in reads], OK, reads, at)


APPENDED = (append(0, 1, 1), append(1, 1, 2), append(2, 2, 1), append(3, 1, 9, FAIL))


@pytest.mark.parametrize(
    ("read", "verdict", "said"),
    [
        (last_read(k1=[1, 2], k2=[1]), Verdict.PASS, "3 of 4"),
        (last_read(k1=[1, 2]), Verdict.FAIL, "1 appends were reported done, and are lost"),
        (last_read(k1=[1, 2, 1], k2=[1]), Verdict.FAIL, "more than once"),
        (last_read(k1=[1, 2, 9], k2=[1]), Verdict.FAIL, "1 appends were reported failed, and are there"),
        (last_read(2.5, k1=[1, 2], k2=[1]), Verdict.INCONCLUSIVE, "not read after the last append"),
    ],
)
def test_every_append_is_in_its_list_in_the_end(read: Operation, verdict: Verdict, said: str) -> None:
    finding = appends_kept()(history(*APPENDED, read))
    assert (finding.verdict, said in finding.why) == (verdict, True), finding


def test_lists_that_were_never_read_say_nothing_of_what_is_lost() -> None:
    assert appends_kept()(history(*APPENDED)).verdict is Verdict.INCONCLUSIVE
    assert appends_kept()(history()).verdict is Verdict.INCONCLUSIVE


# --- values written ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "read", "verdict"),
    [
        (OK, 5, Verdict.PASS),
        (INFO, 5, Verdict.PASS),
        (OK, 6, Verdict.FAIL),
        (OK, None, Verdict.INCONCLUSIVE),
    ],
)
def test_a_value_that_was_read_is_one_that_was_written(outcome: Outcome, read: Any, verdict: Verdict) -> None:
    write = op(0, "txn", [["w", 1, 5], ["r", 1, None]], outcome)
    seen = op(1, "txn", [["r", 1, None]], OK, [["r", 1, read]])
    finding = values_written()(history(write, seen))
    assert finding.verdict is verdict, finding
    assert finding.operations == ((1,) if verdict is Verdict.FAIL else ())


# --- chains -----------------------------------------------------------------------------------------------------


def test_only_parts_whose_write_is_done_have_to_be_seen() -> None:
    writes = (
        op(0, "write", [7, 0]),
        op(1, "write", [7, 1], FAIL),
        op(2, "write", [7, 2]),
        op(3, "write", [7, 3], INFO),
    )
    read = op(4, "read", 7, OK, [7, [3, 2, None, 0]])
    assert acknowledged_parts(history(*writes, read)).operations[-1].result == [7, [2, 0]]


def test_a_part_that_is_done_and_not_seen_stays_a_gap() -> None:
    writes = (op(0, "write", [7, 0]), op(1, "write", [7, 1]))
    read = op(4, "read", 7, OK, [7, [None, 1, None]])
    assert acknowledged_parts(history(*writes, read)).operations[-1].result == [7, [1, None]]


# --- somebody on call -------------------------------------------------------------------------------------------

LEAVES = op(0, "leave", [0, 1], OK, "leaves")


@pytest.mark.parametrize(
    ("operations", "verdict"),
    [
        ((LEAVES, op(1, "read", None, OK, {"0": [1], "1": [0, 1]})), Verdict.PASS),
        ((LEAVES, op(1, "read", None, OK, {"0": [], "1": [0, 1]})), Verdict.FAIL),
        ((LEAVES, op(1, "read", None, OK, {"0": [1]})), Verdict.FAIL),
        ((LEAVES, op(1, "read", None, OK, None)), Verdict.FAIL),
        ((LEAVES, op(1, "read", None, FAIL, {"0": [], "1": []})), Verdict.INCONCLUSIVE),
        ((op(1, "read", None, OK, {"0": [1], "1": [0, 1]}),), Verdict.INCONCLUSIVE),
    ],
)
def test_every_shift_has_somebody_on_call(operations: tuple[Operation, ...], verdict: Verdict) -> None:
    assert somebody_on_call(shifts=2)(history(*operations)).verdict is verdict


# --- orders -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("read", "final", "verdict", "said"),
    [
        ({"0": [3, 7], "1": [10, 0]}, {"0": [0, 10], "1": [1, 9]}, Verdict.PASS, "1 snapshots and at the end"),
        (
            {"0": [-1, 11], "1": [10, 0]},
            {"0": [0, 10], "1": [1, 9]},
            Verdict.FAIL,
            "operation 1: the stock of product 0 is -1",
        ),
        ({"0": [3, 8], "1": [10, 0]}, {"0": [0, 10], "1": [1, 9]}, Verdict.FAIL, "3 in stock and 8 sold make 11"),
        ({"0": [3, 7], "1": [10, 0]}, {"0": [0, 10], "1": [2, 9]}, Verdict.FAIL, "final read"),
        ({"0": [3, 7]}, {"0": [0, 10], "1": [1, 9]}, Verdict.FAIL, "not 2 products"),
        ({"0": [3, 7], "1": 10}, {"0": [0, 10], "1": [1, 9]}, Verdict.FAIL, "no stock and sold"),
    ],
)
def test_stock_and_sold_add_up_in_every_snapshot(read: Any, final: Any, verdict: Verdict, said: str) -> None:
    finding = stock_kept(products=2, stock=10)(
        history(op(1, "read", None, OK, read), state={"stock": final}, effects={})
    )
    assert (finding.verdict, said in finding.why) == (verdict, True), finding


@pytest.mark.parametrize(
    ("orders", "payments", "verdict", "operations"),
    [
        ([["u0", 5, 2], ["u1", 3, 0]], [["u0", 10]], Verdict.PASS, ()),
        ([["u0", 5, 2], ["u1", 3, 1]], [["u0", 10]], Verdict.FAIL, (1,)),
        ([["u0", 5, 2]], [["u0", 10], ["u0", 10]], Verdict.FAIL, (0,)),
        ([["u0", 5, 2]], [["u0", 9]], Verdict.FAIL, (0,)),
        ([["u0", 5, 2]], [["u0", 10], ["u1", 4]], Verdict.FAIL, (1,)),
        ([["u1", 3, 0]], [], Verdict.INCONCLUSIVE, ()),
        (None, [], Verdict.INCONCLUSIVE, ()),
    ],
)
def test_every_order_is_paid_exactly_once(
    orders: Any, payments: Any, verdict: Verdict, operations: tuple[int, ...]
) -> None:
    asked = (op(0, "order", None), op(1, "order", None))
    finding = paid_once()(history(*asked, state={"orders": orders, "payments": payments}, effects={}))
    assert (finding.verdict, finding.operations) == (verdict, operations), finding
