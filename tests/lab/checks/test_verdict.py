"""Verdicts merge to the worst, doubt is never a pass, and a check is bounded in what it says."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lab.history import History
from lab.verdict import Check, Judgement, Verdict, failed, inconclusive, merge, passed
from tests.lab.checks.histories import correct

VERDICTS = st.lists(st.sampled_from(Verdict))


def always(verdict: Judgement) -> Check:
    return Check("always", "it is always so", lambda _history: verdict)


@given(one=VERDICTS, other=VERDICTS)
def test_merging_is_associative_and_commutative(one: list[Verdict], other: list[Verdict]) -> None:
    parts = [merge(part) for part in (one, other) if part]
    assert merge([*one, *other]) is merge([*other, *one]) is merge(parts)


@given(verdicts=VERDICTS)
def test_merging_again_and_merging_one_change_nothing(verdicts: list[Verdict]) -> None:
    assert merge([merge(verdicts)]) is merge(verdicts) is merge(verdicts + verdicts)


@given(verdicts=VERDICTS)
def test_the_worst_verdict_wins(verdicts: list[Verdict]) -> None:
    assert merge([*verdicts, Verdict.FAIL]) is Verdict.FAIL
    assert merge([*verdicts, Verdict.INCONCLUSIVE]) in {Verdict.FAIL, Verdict.INCONCLUSIVE}
    assert (merge(verdicts) is Verdict.PASS) == (bool(verdicts) and set(verdicts) == {Verdict.PASS})


def test_nothing_at_all_is_doubt() -> None:
    assert merge(()) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("judgement", "whole", "cut"),
    [
        (passed("fine"), Verdict.PASS, Verdict.INCONCLUSIVE),
        (inconclusive("who knows"), Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE),
        (failed("wrong"), Verdict.FAIL, Verdict.FAIL),
    ],
)
def test_a_history_that_was_cut_turns_a_pass_into_doubt_and_leaves_a_failure(
    judgement: Judgement, whole: Verdict, cut: Verdict
) -> None:
    history = correct(1)
    assert always(judgement)(history).verdict is whole
    assert always(judgement)(replace(history, complete=False)).verdict is cut


def test_a_pass_of_a_cut_history_says_that_it_was_cut_and_what_was_found_before() -> None:
    finding = always(passed("all is well"))(replace(correct(1), complete=False))
    assert "incomplete" in finding.why
    assert "all is well" in finding.why


def test_a_check_that_passes_everything_does_not_pass_an_empty_history() -> None:
    assert always(passed("fine"))(History()).verdict is Verdict.INCONCLUSIVE


def test_a_finding_carries_the_name_of_its_check_and_its_witnesses_in_order() -> None:
    witnesses: Iterable[int] = (number for number in (3, 1, 2))
    finding = always(failed("wrong", witnesses))(correct(1))
    assert (finding.check, finding.why, finding.operations) == ("always", "wrong", (3, 1, 2))
