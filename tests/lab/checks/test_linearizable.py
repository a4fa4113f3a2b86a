"""A history passes if and only if each register's operations have an order that their times and a register allow."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lab.checks import linearizable
from lab.checks.linearizable import Linearization, search
from lab.formats import read_history
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Finding, Verdict
from tests.lab.checks.published import etcd_logs, published
from tests.lab.checks.registers import apply, executed, has_a_legal_order, keyed, until_return_of, written

PAST = 1e6
"""A time after all others."""

LEGAL = {
    "one after the other": ("[-] w 1", "    [-] r 1", "        [-] cas 1 2", "            [-] r 2"),
    "first value": ("[-] r nil", "    [-] w 1"),
    "a read during a write sees the old value": ("[-] w 1", "    [-----] w 2", "      [-] r 1"),
    "a read during a write sees the new value": ("[-] w 1", "    [-----] w 2", "      [-] r 2"),
    "two reads during a write see old, then new": ("[-] w 1", "   [-------] w 2", "    [-] r 1", "        [-] r 2"),
    "writes in either order": ("[---] w 1", " [---] w 2", "      [-] r 1"),
    "a write whose outcome is unknown never happened": ("[-] w 1", "   [-] w 2 ?", "       [-] r 1"),
    "a write whose outcome is unknown happened late": (
        "[-] w 2 ?",
        "    [-] w 1",
        "        [-] r 1",
        "            [-] r 2",
    ),
    "unknown compare-and-sets as steps": ("[-] w 1", "[-] cas 2 3 ?", "[-] cas 1 2 ?", "       [-] r 3"),
    "the right one of two unknown ones is left for later": (
        "[-] w 2 ?", " [-] cas 1 2 ?", "    [-] w 1", "        [-] r 2", "            [-] w 3", "            [---] r 3",
        "                  [-] r 2",
    ),
    "the right one of two unknown ones is left for later, told the other way round": (
        "[-] cas 1 2 ?", " [-] w 2 ?", "    [-] w 1", "        [-] r 2", "            [-] w 3", "            [---] r 3",
        "                  [-] r 2",
    ),
    "a failed compare-and-set did nothing": ("[-] w 1", "   [-] cas 1 2 !", "       [-] r 1"),
    "a failed write did nothing": ("[-] w 1", "   [-] w 2 !", "       [-] r 1"),
    "a read without an answer says nothing": ("[-] w 1", "   [-] r ?", "       [-] r 1"),
    "two swaps that overlap chain": ("[-] w 1", "    [---] cas 2 3", "    [---] cas 1 2", "          [-] r 3"),
    "a swap of a value with itself": ("[-] w 1", "    [-] cas 1 1", "        [-] r 1"),
    "touching intervals are concurrent": ("[-] w 1", "  [-] r nil"),
}  # fmt: skip

ILLEGAL = {
    "stale read": ("[-] w 1", "    [-] w 2", "        [-] r 1"),
    "value from nowhere": ("[-] w 1", "    [-] r 7"),
    "read before its write": ("[-] r 1", "    [-] w 1"),
    "new, then old": ("[-] w 1", "   [-------] w 2", "    [-] r 2", "        [-] r 1"),
    "lost write": ("[-] w 1", "    [-] r nil"),
    "a failed write is read": ("[-] w 1", "    [-] w 2 !", "        [-] r 2"),
    "a failed compare-and-set is read": ("[-] w 1", "    [-] cas 1 2 !", "        [-] r 2"),
    "swap from a value never held": ("[-] w 1", "    [-] cas 5 2"),
    "two swaps from the same value": ("[-] w 1", "    [---] cas 1 2", "    [---] cas 1 3"),
    "an unknown write happens once only": (
        "[-] w 2 ?", "    [-] r 2", "        [-] w 1", "            [-] r 1", "                [-] r 2"
    ),
    "an unknown write happens twice, the second time before it was called again": (
        "[-] w 2 ?", "    [-] r 2", "        [-] w 1", "            [-] r 1", "                [-] r 2",
        "                    [-] w 2 ?", "                        [-] r 2",
    ),
    "an unknown write is read before it was called": ("[-] r 2", "    [-] w 2 ?"),
    "readers disagree on the order": (
        "[-----------------] w 1", "[-----------------] w 2", "    [-] r 1", "        [-] r 2", "            [-] r 1"
    ),
}  # fmt: skip


def judged(operations: tuple[Operation, ...] | list[Operation], initial: Json = None) -> Finding:
    return linearizable(initial=initial)(History(tuple(operations)))


@pytest.mark.parametrize("lines", LEGAL.values(), ids=LEGAL)
def test_a_history_with_a_legal_order_passes(lines: tuple[str, ...]) -> None:
    operations = written(*lines)
    assert has_a_legal_order(operations)
    assert judged(operations).verdict is Verdict.PASS


@pytest.mark.parametrize("lines", ILLEGAL.values(), ids=ILLEGAL)
def test_a_history_without_a_legal_order_fails(lines: tuple[str, ...]) -> None:
    operations = written(*lines)
    finding = judged(operations)
    assert not has_a_legal_order(operations)
    assert finding.verdict is Verdict.FAIL
    assert [anomaly.name for anomaly in finding.anomalies] == ["nonlinearizable"]
    assert finding.operations


def test_a_failure_names_the_operation_what_it_found_and_what_it_could_have_found() -> None:
    finding = judged(written("[-] w 4", "    [---] w 2", "    [---] w 3", "           [-] r 4"))
    assert finding.why == (
        "operation 3 (process 3) read 4, but the register can only have held 2 (from operation 1) or "
        "3 (from operation 2); 4, written by operation 0, was overwritten by then"
    )
    assert finding.operations == (0, 1, 2, 3)


def test_a_swap_that_cannot_have_been_is_told_as_one() -> None:
    finding = judged(written("[-] w 1", "    [-] cas 5 2"))
    assert finding.why == (
        "operation 1 (process 1) changed 5 to 2, but the register can only have held 1 (from operation 0)"
        "; nothing had written 5"
    )


def test_the_first_value_can_be_chosen() -> None:
    assert judged(written("[-] r 0"), initial=0).verdict is Verdict.PASS
    finding = judged(written("[-] r nil"), initial=0)
    assert finding.why.startswith("operation 0 (process 0) read null, but the register can only have held 0 (its first")


@pytest.mark.parametrize(("one", "other"), [(1, True), (0, False), (1, "1"), (None, "null"), ([1], "[1]"), (None, 0)])
def test_values_that_python_or_json_take_for_the_same_are_told_apart(one: Json, other: Json) -> None:
    write = Operation(0, 0, "write", one, Outcome.OK, 0.0, 1.0)
    read = Operation(1, 0, "read", None, Outcome.OK, 2.0, 3.0, other)
    assert judged([write, read], initial="x").verdict is Verdict.FAIL
    assert judged([write, replace(read, result=one)], initial="x").verdict is Verdict.PASS


def test_one_number_is_the_same_however_it_is_written() -> None:
    write = Operation(0, 0, "write", {"b": 1, "a": [2]}, Outcome.OK, 0.0, 1.0)
    read = Operation(1, 0, "read", None, Outcome.OK, 2.0, 3.0, {"a": [2], "b": 1})
    assert judged([write, read]).verdict is Verdict.PASS
    assert judged([replace(write, value=2), replace(read, result=2.0)]).verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        (Operation(5, 0, "cas", 7, Outcome.OK, 0.0, 1.0), "operation 5: the value of a cas is [old, new], not 7"),
        (Operation(5, 0, "read", None, Outcome.OK, 2.0, 1.0), "operation 5: it completed before it was invoked"),
        (
            Operation(5, 0, "add", 7, Outcome.INFO, 0.0, 1.0),
            "operation 5: a register has read, write and cas, not 'add'",
        ),
    ],
)
def test_what_no_register_does_is_not_judged(operation: Operation, problem: str) -> None:
    finding = judged([operation])
    assert (finding.verdict, finding.why) == (Verdict.INCONCLUSIVE, problem)
    with pytest.raises(ValueError, match="operation 5"):
        search([operation])


def test_operations_that_cannot_be_told_apart_are_not_judged() -> None:
    read = Operation(0, 0, "read", None, Outcome.OK, 0.0, 1.0)
    assert judged([read, replace(read, result=7)]).verdict is Verdict.INCONCLUSIVE


def test_an_empty_history_does_not_pass() -> None:
    assert judged([]).verdict is Verdict.INCONCLUSIVE


def test_a_write_under_way_when_the_journal_was_cut_may_have_been_read() -> None:
    write = Operation(0, 0, "write", 1, Outcome.INFO, 0.0, None)
    read = Operation(1, 1, "read", None, Outcome.OK, 1.0, 2.0, 1)
    finding = linearizable()(History((write, read), complete=False))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "the journal is incomplete" in finding.why
    stale = replace(read, index=2, invoked=3.0, completed=4.0, result=None)
    assert linearizable()(History((write, read, stale), complete=False)).verdict is Verdict.FAIL


# Many registers


def test_each_of_many_registers_is_judged_for_itself() -> None:
    good = written("[-] w 1", "    [-] r 1")
    assert linearizable(keyed=True)(keyed([good, written("  [-] r nil")])).verdict is Verdict.PASS
    finding = linearizable(keyed=True)(keyed([good, written("  [-] r 1"), good, written("[-] w 3", "    [-] r 4")]))
    assert finding.verdict is Verdict.FAIL
    assert finding.why.startswith("2 of 4 registers are not linearizable; register 3: operation 6 (process 1) read 4, ")
    assert [anomaly.why.split(":")[0] for anomaly in finding.anomalies] == ["register 3", "register 1"]


def test_an_answer_about_another_register_is_not_judged() -> None:
    read = Operation(0, 0, "read", [1, None], Outcome.OK, 0.0, 1.0, [2, None])
    finding = linearizable(keyed=True)(History((read,)))
    assert (finding.verdict, finding.why) == (
        Verdict.INCONCLUSIVE,
        "operation 0: it asked for 1 and was told of 2",
    )
    finding = linearizable(keyed=True)(History((replace(read, value=7),)))
    assert "the value of a register among many is [key, value], not 7" in finding.why


# Effort


def hard(writers: int) -> tuple[Operation, ...]:
    """Return concurrent writes that are read in an order that nothing allows, which takes all choices to rule out."""
    writes = [f"[---] w {value}" for value in range(writers)]
    swaps = [f"[{'-' * 8}] cas {value} {value + 1}" for value in range(writers)]
    return written(*writes, *swaps, "           [-] r 99")


def test_running_out_of_effort_is_never_a_pass_nor_a_failure() -> None:
    operations = hard(5)
    needed = search(operations).steps + 1
    assert search(operations, effort=needed).verdict is Verdict.FAIL
    assert search(operations, effort=needed - 1).verdict is Verdict.INCONCLUSIVE
    finding = linearizable(effort=needed - 1 - len(operations))(History(operations))
    assert finding.verdict is Verdict.INCONCLUSIVE
    assert "give it more effort" in finding.why


def test_a_legal_history_is_undecided_without_the_effort_it_takes() -> None:
    operations = executed(Random(3), 40)
    needed = search(operations).steps + 1
    assert search(operations, effort=needed).verdict is Verdict.PASS
    assert search(operations, effort=needed - 2).verdict is Verdict.INCONCLUSIVE


def test_a_hard_register_hides_no_bad_one() -> None:
    easy, bad = written("[-] w 1", "    [-] r 1"), written("[-] w 1", "    [-] r 2")
    check = linearizable(keyed=True, effort=30)
    undecided = check(keyed([hard(7), easy]))
    assert undecided.verdict is Verdict.INCONCLUSIVE
    assert undecided.why.startswith("1 of 2 registers undecided; register 0: ")
    assert check(keyed([hard(7), easy, bad])).verdict is Verdict.FAIL


def test_what_easy_registers_leave_of_the_effort_goes_to_a_hard_one() -> None:
    operations, easy = hard(5), written("[-] w 1", "    [-] r 1")
    needed = search(operations).steps
    assert linearizable(keyed=True, effort=2 * needed)(keyed([easy, operations, easy, easy])).verdict is Verdict.FAIL


def test_a_failure_that_took_all_the_effort_does_not_claim_to_know_all_that_was_possible() -> None:
    operations = (*hard(5), Operation(99, 0, "write", 1, Outcome.OK, 50.0, 51.0))
    needed = search(operations).steps + 1
    known, unknown = search(operations).unordered, search(operations, effort=needed).unordered
    assert known is not None
    assert unknown is not None
    assert known.stuck == unknown.stuck == 10
    assert [value for value, _ in known.possible] == [1, 2, 3, 4, 5]
    assert unknown.possible == ()
    assert "read 99, but the register cannot have held that then; nothing had written 99" in unknown.why


# Valid by construction


@given(st.integers(0, 2**32), st.integers(1, 60), st.integers(1, 8), st.integers(1, 6))
def test_what_a_serial_execution_leaves_passes(seed: int, count: int, processes: int, values: int) -> None:
    operations = executed(Random(seed), count, processes=processes, values=values)
    found = search(operations)
    assert found.verdict is Verdict.PASS
    assert_proven(found, operations)


@given(st.integers(0, 2**32))
def test_many_registers_of_a_serial_execution_pass(seed: int) -> None:
    random = Random(seed)
    history = keyed([executed(random, 10) for _ in range(4)])
    assert linearizable(keyed=True)(history).verdict is Verdict.PASS


def assert_proven(found: Linearization, operations: list[Operation], initial: Json = None) -> None:
    """The order that a pass comes with is one, by the definition."""
    by_index = {operation.index: operation for operation in operations}
    order = [by_index[index] for index in found.order]
    done = {operation.index for operation in operations if operation.outcome is Outcome.OK}
    assert done <= set(found.order)
    assert len(order) == len(set(found.order))
    state, latest = initial, -1.0
    for operation in order:
        assert operation.outcome is not Outcome.FAIL
        possible, state = apply(operation, state)
        assert possible
        latest = max(latest, operation.invoked)
        assert operation.outcome is Outcome.INFO or (operation.completed or 0.0) >= latest


# One planted anomaly


def planted(seed: int, *tail: Operation) -> list[Operation]:
    """Return a serial execution, and after it what is known to be on the register: a write of 100, then the *tail*."""
    operations = executed(Random(seed), Random(seed).randint(0, 40))
    calm = [Operation(0, 0, "write", 100, Outcome.OK, PAST, PAST + 1), *tail]
    return [*operations, *(replace(o, index=len(operations) + number) for number, o in enumerate(calm))]


def later(kind: str, value: Json, result: Json = None) -> Operation:
    return Operation(0, 1, kind, value, Outcome.OK, PAST + 2, PAST + 3, result)


def assert_caught(operations: list[Operation]) -> None:
    found = search(operations)
    assert found.verdict is Verdict.FAIL
    assert found.unordered is not None
    assert found.unordered.stuck == operations[-1].index
    assert 100 in [value for value, _ in found.unordered.possible]


@given(st.integers(0, 2**32))
def test_a_stale_read_after_a_completed_write_is_caught(seed: int) -> None:
    before = Operation(0, 0, "write", 99, Outcome.OK, PAST - 2, PAST - 1)
    operations = planted(seed, later("read", None, 99))
    assert_caught([*operations[:-2], replace(before, index=-1), *operations[-2:]])


@given(st.integers(0, 2**32))
def test_a_swap_from_a_value_never_held_is_caught(seed: int) -> None:
    assert_caught(planted(seed, later("cas", [101, 1])))


@given(st.integers(0, 2**32))
def test_a_lost_write_is_caught(seed: int) -> None:
    assert_caught(planted(seed, later("read", None, None)))  # the first value, which nothing writes


@given(st.integers(0, 2**32))
def test_a_write_said_to_have_failed_that_is_read_is_caught(seed: int) -> None:
    phantom = Operation(0, 2, "write", 101, Outcome.FAIL, PAST + 1.2, PAST + 1.5)
    assert_caught(planted(seed, phantom, later("read", None, 101)))


# Against brute force


@st.composite
def tiny(draw: st.DrawFn) -> list[Operation]:
    """At most eight operations of a register, at random: legal or not."""
    value = st.integers(0, draw(st.integers(0, 3)))
    length = draw(st.sampled_from([3, 8, 20]))
    times = st.tuples(st.integers(0, 12), st.integers(0, length))
    outcome = st.sampled_from([Outcome.OK] * draw(st.integers(1, 6)) + list(Outcome))
    kinds = st.sampled_from(
        draw(st.sampled_from([("read", "write"), ("read", "write", "cas"), ("cas", "cas", "read")]))
    )
    rows = draw(st.lists(st.tuples(times, kinds, outcome, value, value), max_size=8))
    done = []
    for index, ((start, length), kind, ended, one, other) in enumerate(sorted(rows, key=lambda row: row[0])):
        asked: Json = None if kind == "read" else one if kind == "write" else [one, other]
        result = one if kind == "read" and ended is Outcome.OK else None
        # Returns at different times, as only then is the first that has no legal order a single one.
        done.append(Operation(index, index, kind, asked, ended, float(start), start + length + index / 100, result))
    return done


@given(tiny(), st.sampled_from([None, 0]))
def test_verdicts_are_those_of_brute_force(operations: list[Operation], initial: Json) -> None:
    found = search(operations, initial)
    legal = has_a_legal_order(operations, initial)
    assert found.verdict is (Verdict.PASS if legal else Verdict.FAIL)
    if legal:
        assert_proven(found, operations, initial)
    else:
        assert_blames_the_first(found, operations, initial)


def assert_blames_the_first(found: Linearization, operations: list[Operation], initial: Json) -> None:
    """The history up to the blamed return has no legal order, up to the one before it has; its states are exact."""
    assert found.unordered is not None
    stuck = next(operation for operation in operations if operation.index == found.unordered.stuck)
    until = until_return_of(operations, stuck)
    assert not has_a_legal_order(until, initial)
    assert has_a_legal_order([o if o is not stuck else replace(o, outcome=Outcome.FAIL) for o in until], initial) or (
        stuck.kind == "cas"
    )
    asked = [o if o is not stuck else replace(o, kind="read", value=None, result=None) for o in until]
    if stuck.kind == "read":
        place = asked.index(next(o for o in asked if o.index == stuck.index))
        held = [
            value
            for value in (None, 0, 1, 2, 3)
            if has_a_legal_order([*asked[:place], replace(asked[place], result=value), *asked[place + 1 :]], initial)
        ]
        assert sorted(map(str, held)) == sorted(str(value) for value, _ in found.unordered.possible)


# Histories that others published


def test_every_log_of_etcd_gets_its_known_verdict() -> None:
    logs = etcd_logs()
    wrong = [path.name for path, legal in logs if (judged_file(path).verdict is Verdict.PASS) != legal]
    assert logs
    assert wrong == []


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("memstress3-9.edn", Verdict.PASS),
        ("bad-analysis.edn", Verdict.FAIL),
        ("cas-failure.edn", Verdict.FAIL),
        ("rethink-fail-minimal.edn", Verdict.FAIL),
    ],
)
def test_histories_of_knossos_get_their_known_verdicts(name: str, verdict: Verdict) -> None:
    assert judged_file(published("knossos", name)).verdict is verdict


def judged_file(path: Path) -> Finding:
    return linearizable()(read_history(path))
