"""The oracle: a serial order explains an outcome, or it is an anomaly with the answer that cannot be explained."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy import Engine

from lab.interleave.model import Answer
from lab.interleave.oracle import MOST_TRANSACTIONS, explain
from lab.interleave.outcome import Fate, Outcome, Seen
from lab.interleave.steps import End, Row, Statement
from lab.interleave.text import parse_schedule
from lab.verdict import Verdict
from tests.lab.interleave.serial import SCRIPTS, TABLE, database, ran

BOTH = ((1, 10), (2, 20))


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Engine]:
    engine = database()
    yield engine
    engine.dispose()


def outcome(
    text: str, answers: list[Answer], final: tuple[Row, ...], fates: Mapping[int, Fate] | None = None
) -> Outcome:
    """Return the outcome of a schedule whose statements were told *answers*, in order; all committed but *fates*."""
    schedule = parse_schedule(text)
    told = iter(answers)
    seen = tuple(Seen(s) if isinstance(s.action, End) else Seen(s, next(told)) for s in schedule.steps)
    committed = dict.fromkeys(schedule.transactions, Fate.COMMITTED)
    return Outcome(schedule, seen, {**committed, **(fates or {})}, final)


SKEW = "T1: r1, r2; T2: r1, r2; T1: w1=11; T2: w2=21; T1: c; T2: c"
BLIND = "T1: w1=11; T2: w1=12; T1: w2=21, c; T2: w2=22, c"
LOST = "T1: r1; T2: r1; T1: w1=11; T2: w1=11; T1: c; T2: c"
DIRTY = "T1: w1=101; T2: r*; T1: a; T2: r*, c"
SEEN = "T1: r[value=30]; T2: i3=30, c; T1: p3, c"
FEKETE = "T1: r*; T2: w2+=5, c; T3: r*, c; T1: w1=0, c"
ESCAPED = "T1: w*+=10; T2: d[value=20]; T1: c; T2: r[value=20], c"
ONE, TWO = ((1, 10),), ((2, 20),)


@pytest.mark.parametrize(
    ("text", "answers", "final", "fates", "order"),
    [
        (BLIND, [1, 1, 1, 1], ((1, 12), (2, 22)), {}, (1, 2)),
        (BLIND, [1, 1, 1, 1], ((1, 11), (2, 21)), {}, (2, 1)),
        (SKEW, [ONE, TWO, ONE, TWO, 1, 1], ((1, 11), (2, 20)), {2: Fate.FAILED}, (1,)),
        (SKEW, [ONE, TWO, ((1, 11),), TWO, 1, 1], ((1, 11), (2, 21)), {}, (1, 2)),
        (DIRTY, [1, BOTH, BOTH], BOTH, {1: Fate.ABORTED}, (2,)),
        (SEEN, [(), 1, ()], (*BOTH, (3, 30)), {}, (1, 2)),
        (FEKETE, [BOTH, 1, ((1, 10), (2, 25)), 1], ((1, 10), (2, 25)), {1: Fate.FAILED}, (2, 3)),
        (FEKETE, [BOTH, 1, BOTH, 1], ((1, 0), (2, 25)), {}, (3, 1, 2)),
        (ESCAPED, [2, 1, ()], ((2, 30),), {}, (1, 2)),
        (ESCAPED, [1, 1, ()], ((1, 20),), {}, (2, 1)),
    ],
)
def test_what_a_serial_order_explains_is_clean(
    text: str, answers: list[Answer], final: tuple[Row, ...], fates: dict[int, Fate], order: tuple[int, ...]
) -> None:
    explanation = explain(outcome(text, answers, final, fates))
    assert (explanation.verdict, explanation.order) == (Verdict.PASS, order)


@pytest.mark.parametrize(
    ("text", "answers", "final", "fates", "why"),
    [
        (BLIND, [1, 1, 1, 1], ((1, 12), (2, 21)), {}, "the table ends as"),
        (SKEW, [ONE, TWO, ONE, TWO, 1, 1], ((1, 11), (2, 21)), {}, "reads 2=21, and was told 2=20"),
        (LOST, [ONE, ONE, 1, 1], ((1, 11), (2, 20)), {}, "T2: r1 reads 1=11, and was told 1=10"),
        (DIRTY, [1, ((1, 101), (2, 20)), BOTH], BOTH, {1: Fate.ABORTED}, "T2: r* reads 1=10, 2=20, and was told 1=101"),
        (SEEN, [(), 1, ((3, 30),)], (*BOTH, (3, 30)), {}, "T1: p3 reads nothing, and was told 3=30"),
        (FEKETE, [BOTH, 1, ((1, 10), (2, 25)), 1], ((1, 0), (2, 25)), {}, "as T1, T2, T3: T3: r* reads 1=0, 2=25"),
        (ESCAPED, [2, 0, ((1, 20),)], ((1, 20), (2, 30)), {}, "T2: d[value=20] changes 1 rows, and was told 0"),
        ("T1: i1=5, c", [1], BOTH, {}, "finds a row of that id, and succeeded"),
        ("T1: w1=11, c", [1], BOTH, {}, "the table ends as 1=11, 2=20, and was found as 1=10, 2=20"),
    ],
)
def test_what_no_order_explains_is_an_anomaly_that_names_the_answer(
    text: str, answers: list[Answer], final: tuple[Row, ...], fates: dict[int, Fate], why: str
) -> None:
    explanation = explain(outcome(text, answers, final, fates))
    assert explanation.verdict is Verdict.FAIL
    assert why in explanation.why


def test_every_serial_order_is_contradicted_by_a_sentence_of_its_own() -> None:
    explanation = explain(outcome(FEKETE, [BOTH, 1, ((1, 10), (2, 25)), 1], ((1, 0), (2, 25))))
    assert len(explanation.contradictions) == 6
    assert len({sentence.partition(":")[0] for sentence in explanation.contradictions}) == 6


def test_if_nothing_committed_nothing_was_shown() -> None:
    shown = explain(outcome("T1: r1, a", [((1, 10),)], BOTH, {1: Fate.ABORTED}))
    assert (shown.verdict, shown.why) == (Verdict.INCONCLUSIVE, "no transaction committed")


def test_more_transactions_than_can_be_tried_are_doubt() -> None:
    many = range(1, MOST_TRANSACTIONS + 2)
    shown = explain(outcome("; ".join(f"T{n}: r1, c" for n in many), [ONE for _ in many], BOTH))
    assert shown.verdict is Verdict.INCONCLUSIVE
    assert str(MOST_TRANSACTIONS) in shown.why


@given(initial=TABLE, scripts=SCRIPTS, data=st.data())
def test_what_was_run_one_after_the_other_is_always_explained(
    sqlite: Engine, initial: tuple[Row, ...], scripts: dict[int, list[Statement]], data: st.DataObject
) -> None:
    found = ran(sqlite, initial, scripts, data.draw(st.permutations(sorted(scripts))))
    assume(found is not None)
    assert found is not None
    assert explain(found).verdict is Verdict.PASS


@given(initial=TABLE, scripts=SCRIPTS, data=st.data())
def test_one_answer_changed_is_an_anomaly_unless_another_order_gives_it(
    sqlite: Engine, initial: tuple[Row, ...], scripts: dict[int, list[Statement]], data: st.DataObject
) -> None:
    order = data.draw(st.permutations(sorted(scripts)))
    found = ran(sqlite, initial, scripts, order)
    assume(found is not None)
    assert found is not None
    spots = [n for n, seen in enumerate(found.seen) if seen.answer is not None]
    changed = data.draw(st.sampled_from(spots))
    seen = list(found.seen)
    runs = [ran(sqlite, initial, scripts, other) for other in itertools.permutations(sorted(scripts))]
    others = [other for other in runs if other is not None]
    elsewhere = [one.answer for other in others for one in other.seen if one.step == seen[changed].step]
    seen[changed] = replace(seen[changed], answer=data.draw(_other(seen[changed].answer, elsewhere)))
    altered = replace(found, seen=tuple(seen))

    possible = any(_told(other) == _told(altered) for other in others)
    assert explain(altered).verdict is (Verdict.PASS if possible else Verdict.FAIL)


def _other(answer: Answer | None, elsewhere: list[Answer | None]) -> st.SearchStrategy[Answer | None]:
    """Draw another answer; one that the statement gets in another order is the harder case."""
    any_other = (TABLE if isinstance(answer, tuple) else st.integers(0, 3)).filter(lambda other: other != answer)
    harder = [other for other in elsewhere if other != answer]
    return st.one_of(st.sampled_from(harder), any_other) if harder else any_other


def _told(found: Outcome) -> tuple[dict[int, list[Answer | None]], tuple[Row, ...]]:
    return {number: [seen.answer for seen in found.of(number)] for number in found.fates}, found.final
