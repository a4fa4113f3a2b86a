"""Correct executions pass, every planted defect is caught with the operation that shows it, and doubt is no pass."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lab import checks
from lab.checks import (
    answers,
    connections_returned,
    conserved,
    doubted,
    exactly_once,
    explained,
    faults_fired,
    met,
    recovers,
    restrained,
    succeeds,
)
from lab.checks.ledger import LEDGER, WRONG, entry
from lab.checks.service import recovery_seconds, unserved
from lab.history import Final, History, Operation, Outcome
from lab.verdict import MOST_WITNESSES, Check, Verdict
from tests.lab.checks.histories import ACCOUNTS, DEFECTS, INITIAL, RECOVERY, SLOWEST, TOTAL, Defect, change, correct

CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        answers(within=SLOWEST + 0.1),
        connections_returned(),
        conserved(total=TOTAL, accounts=ACCOUNTS),
        doubted(at_least=1),
        exactly_once(),
        explained(initial=INITIAL),
        faults_fired(),
        met("40001", at_least=1),
        recovers(within=RECOVERY + 1),
        restrained(attempts_per_second=4, burst=8),
        succeeds(at_least=0.0),
    )
}
SEEDS = st.integers(0, 2**32)
INCONCLUSIVE = {"faults fired"}
"""Checks whose defects are doubt about the run, not a failure of what it tries."""

ELSEWHERE = {
    "at most one insert",
    "bank",
    "comments",
    "counter",
    "linearizable",
    "long fork",
    "monotonic",
    "sequential",
    "serializable",
    "set full",
    "set kept",
}
"""Checks of other workloads, which have test files of their own."""


@pytest.fixture(params=CHECKS)
def check(request: pytest.FixtureRequest) -> Check:
    return CHECKS[request.param]


def test_every_public_check_is_tried_here() -> None:
    assert {name.replace("_", " ") for name in checks.__all__} - ELSEWHERE <= {*CHECKS, "met"}


@given(seed=SEEDS, clients=st.integers(1, 5), operations=st.integers(0, 30), faults=st.integers(1, 5))
def test_a_correct_execution_passes_every_check(seed: int, clients: int, operations: int, faults: int) -> None:
    history = correct(seed, clients=clients, operations=operations, faults=faults)
    findings = [check(history) for check in CHECKS.values()]
    assert [f"{finding.check}: {finding.why}" for finding in findings if finding.verdict is not Verdict.PASS] == []


@given(seed=SEEDS)
def test_a_correct_execution_without_a_plan_passes_what_speaks_of_no_fault(seed: int) -> None:
    history = correct(seed, faults=0)
    speak_of_faults = {"doubted", "met 40001", "recovers", "restrained"}
    verdicts = {name: check(history).verdict for name, check in CHECKS.items()}
    assert {name for name, verdict in verdicts.items() if verdict is Verdict.INCONCLUSIVE} == speak_of_faults
    assert Verdict.FAIL not in verdicts.values()


@pytest.mark.parametrize(("name", "word", "defect"), DEFECTS.values(), ids=DEFECTS)
@given(seed=SEEDS)
def test_a_planted_defect_is_caught_with_the_operation_that_shows_it(
    seed: int, name: str, word: str, defect: Defect
) -> None:
    history, shown_by = defect(correct(seed), Random(seed))
    judge = succeeds() if name == "succeeds" else CHECKS[name]

    finding = judge(history)

    assert finding.verdict is (Verdict.INCONCLUSIVE if name in INCONCLUSIVE else Verdict.FAIL)
    assert word in finding.why
    assert shown_by is None or shown_by in finding.operations


@given(seed=SEEDS, cut=st.floats(0, 1))
def test_a_prefix_of_a_correct_execution_is_never_a_pass_and_never_a_failure(seed: int, cut: float) -> None:
    whole = correct(seed)
    at = cut * 5
    operations = tuple(
        operation if (operation.completed or 0) < at else replace(operation, completed=None, outcome=Outcome.INFO)
        for operation in whole.operations
        if operation.invoked < at
    )
    spans = tuple(span for span in whole.faults if span.healed < at)
    history = History(operations, spans, whole.planned, None, complete=False)
    assert {CHECKS[name](history).verdict for name in CHECKS} == {Verdict.INCONCLUSIVE}
    assert succeeds(at_least=0.99)(history).verdict is Verdict.INCONCLUSIVE


def test_no_check_passes_on_an_empty_history(check: Check) -> None:
    assert check(History()).verdict is Verdict.INCONCLUSIVE


def test_no_check_passes_without_operations_whatever_the_final_state_says(check: Check) -> None:
    perfect = correct(1)
    assert check(replace(perfect, operations=())).verdict is not Verdict.PASS
    assert check(History(final=Final({"balances": {}, "moved": {}}, {}, 0, 0))).verdict is not Verdict.PASS


@pytest.mark.parametrize("name", ["conserved", "exactly once", "explained", "connections returned"])
def test_what_was_never_read_back_is_not_judged(name: str) -> None:
    assert CHECKS[name](replace(correct(1), final=None)).verdict is Verdict.INCONCLUSIVE


def test_snapshots_are_needed_to_say_that_money_is_conserved() -> None:
    history = correct(1)
    writes = tuple(operation for operation in history.operations if operation.kind != "read")
    assert CHECKS["conserved"](replace(history, operations=writes)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("state", [None, 7, [], {}, {"balances": {}}, {"balances": {"0": 100}}, {"moved": {}}])
def test_a_final_state_that_explains_nothing_is_no_pass(state: object) -> None:
    history = replace(correct(1), final=Final(state, {}, 0, 0))  # type: ignore[arg-type]
    assert CHECKS["explained"](history).verdict is not Verdict.PASS
    assert CHECKS["conserved"](history).verdict is Verdict.FAIL


def test_only_unknown_outcomes_say_nothing_about_exactly_once() -> None:
    history = correct(1)
    for operation in history.writes:
        history = change(history, operation.index, outcome=Outcome.INFO)
    assert CHECKS["exactly once"](history).verdict is Verdict.INCONCLUSIVE


def test_the_ledger_has_an_entry_for_every_outcome_and_count() -> None:
    assert {(outcome, count) for outcome in Outcome for count in range(3)} == set(LEDGER)
    assert set(LEDGER.values()) == {"right", "honest", *WRONG}


@given(outcome=st.sampled_from(Outcome), effects=st.integers(2))
def test_more_than_one_effect_is_a_duplicate_whatever_was_said(outcome: Outcome, effects: int) -> None:
    assert entry(Operation(0, 0, "t", None, outcome, 0, 1, unit="u0"), effects) == "duplicate"


def test_one_pulse_that_fired_is_evidence_for_all_pulses_of_its_fault() -> None:
    history = correct(1, faults=4)
    spans = [replace(span, events=0) if span.step > 2 else span for span in history.faults]
    assert faults_fired()(replace(history, faults=tuple(spans))).verdict is Verdict.PASS


def _served(process: int, ended: float, outcome: Outcome = Outcome.OK) -> Operation:
    return Operation(0, process, "read", None, outcome, ended - 0.5, ended)


def _healed_at(moment: float, *operations: Operation) -> History:
    span = correct(1).faults[0]
    return History(operations, (replace(span, armed=0.0, healed=moment),), 1)


def test_recovery_is_counted_from_the_last_heal_to_the_last_client() -> None:
    history = _healed_at(10.0, _served(0, 9.0), _served(0, 10.5), _served(0, 99.0), _served(1, 12.0))
    assert recovery_seconds(history) == 2.0
    assert unserved(history) == []


def test_an_answer_before_the_heal_or_one_that_is_not_ok_does_not_count_as_served() -> None:
    history = _healed_at(10.0, _served(0, 11.0), _served(1, 9.9), _served(2, 11.0, Outcome.FAIL))
    assert unserved(history) == [1, 2]
    assert recovery_seconds(history) is None


def test_a_client_that_is_served_at_the_moment_of_the_heal_is_served() -> None:
    assert recovery_seconds(_healed_at(0.0, _served(0, 0.0))) == 0.0


@pytest.mark.parametrize(
    ("make", "quantity", "least"),
    [
        (lambda n: recovers(within=n), 2.0, 0.01),
        (lambda n: answers(within=n), 0.5, 0.01),
    ],
)
def test_a_bound_is_kept_by_what_just_reaches_it(make: Callable[[float], Check], quantity: float, least: float) -> None:
    history = _healed_at(10.0, _served(0, 12.0))
    assert make(quantity)(history).verdict is Verdict.PASS
    assert make(quantity - least)(history).verdict is Verdict.FAIL


def test_a_share_of_operations_may_fail_if_the_check_says_so() -> None:
    history = _healed_at(1.0, *(_served(0, 2.0) for _ in range(99)), _served(0, 2.0, Outcome.FAIL))
    assert succeeds(at_least=0.99)(history).verdict is Verdict.PASS
    assert succeeds(at_least=0.991)(history).verdict is Verdict.FAIL


def test_attempts_outside_a_fault_are_no_storm() -> None:
    history = correct(1)
    last = history.operations[-1]
    assert last.invoked > history.healed
    for ended in (last.completed, history.faults[0].armed - 0.1):
        begun = min(last.invoked, (ended or 0) - 0.1)
        calm = change(history, last.index, attempts=500, invoked=begun, completed=ended)
        assert CHECKS["restrained"](calm).verdict is Verdict.PASS


def test_attempts_may_grow_with_the_time_that_an_operation_takes() -> None:
    history = _healed_at(20.0, replace(_served(0, 10.0), invoked=0.0, attempts=48))
    assert restrained(attempts_per_second=4, burst=8)(history).verdict is Verdict.PASS
    assert restrained(attempts_per_second=3.9, burst=8)(history).verdict is Verdict.FAIL


def test_a_run_in_which_nothing_was_tried_twice_says_nothing_about_restraint() -> None:
    assert CHECKS["restrained"](_healed_at(20.0, _served(0, 10.0))).verdict is Verdict.INCONCLUSIVE


def test_an_error_is_recognised_by_its_whole_name() -> None:
    history = _healed_at(20.0, replace(_served(0, 10.0), errors=("40001 at STATEMENT", "400012 at COMMIT")))
    assert met("40001", at_least=1)(history).verdict is Verdict.PASS
    assert met("40001", at_least=2)(history).verdict is Verdict.INCONCLUSIVE
    assert met("4000", at_least=1)(history).verdict is Verdict.INCONCLUSIVE


def test_only_commits_of_writes_count_as_doubted() -> None:
    read = replace(_served(0, 10.0), errors=("08006 at COMMIT",))
    write = replace(read, unit="u0", errors=("08006 at STATEMENT", "08006 at COMMIT"))
    assert doubted(at_least=1)(_healed_at(20.0, read)).verdict is Verdict.INCONCLUSIVE
    assert doubted(at_least=1)(_healed_at(20.0, write)).verdict is Verdict.PASS
    assert doubted(at_least=2)(_healed_at(20.0, write)).verdict is Verdict.INCONCLUSIVE


def test_a_finding_names_a_bounded_number_of_operations() -> None:
    history = History(tuple(replace(_served(0, 99.0, Outcome.FAIL), index=index) for index in range(100)))
    assert len(succeeds()(history).operations) == MOST_WITNESSES
