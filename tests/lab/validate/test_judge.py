"""The judge is pure: each verdict from facts alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from xml.etree import ElementTree as Xml

import pytest

from lab.validate import judge
from lab.validate.cases import CASES, DIMENSIONS, Case
from lab.validate.facts import Facts, Said, UnitFacts
from lab.validate.output import badge, junit, scorecard
from lab.validate.scorecard import Scorecard, judged, to_json
from lab.verdict import Verdict

DONE = UnitFacts(Said.DONE, effects=1, seconds=0.1, calls=2, begun=2)


def facts(unit: UnitFacts = DONE, *more: UnitFacts, **others: Any) -> Facts:
    return Facts((unit, *more), evidence=("it fired",), deadline=20.0, keyed=True, **others)


@pytest.mark.parametrize(
    ("said", "effects", "verdict", "word"),
    [
        (Said.DONE, 1, "pass", "right"),
        (Said.DONE, 0, "fail", "lost"),
        (Said.DONE, 2, "fail", "duplicate"),
        (Said.FAILED, 0, "pass", "right"),
        (Said.FAILED, 1, "fail", "phantom"),
        (Said.UNKNOWN, 0, "pass", "honest"),
        (Said.UNKNOWN, 1, "pass", "honest"),
        (Said.UNKNOWN, 3, "fail", "duplicate"),
        (Said.NOTHING, 1, "inconclusive", "honest"),
    ],
)
def test_the_ledger_decides_about_safety(said: Said, effects: int, verdict: str, word: str) -> None:
    unit = replace(DONE, said=said, effects=effects)
    assert (judge.safe(facts(unit))[0], unit.ledger) == (verdict, word)


@pytest.mark.parametrize(
    ("rule", "unit", "others", "verdict"),
    [
        (judge.gets_through, {}, {}, "pass"),
        (judge.gets_through, {"said": Said.FAILED, "effects": 0}, {}, "fail"),
        (judge.not_retried, {"said": Said.FAILED, "hits": 1}, {}, "pass"),
        (judge.not_retried, {"said": Said.FAILED, "hits": 2}, {}, "fail"),
        (judge.not_retried, {"said": Said.DONE, "hits": 1}, {}, "fail"),
        (judge.bounded_attempts, {"said": Said.FAILED, "calls": 10}, {}, "pass"),
        (judge.bounded_attempts, {"said": Said.DONE, "calls": 101}, {}, "fail"),
        (judge.bounded_attempts, {"said": Said.NOTHING}, {}, "fail"),
        (judge.keeps_deadline, {"said": Said.FAILED, "seconds": 19.0}, {}, "pass"),
        (judge.keeps_deadline, {"said": Said.FAILED, "seconds": 21.0}, {}, "fail"),
        (judge.keeps_deadline, {"said": Said.NOTHING}, {}, "fail"),
        (judge.keeps_deadline, {"said": Said.DONE}, {}, "fail"),
        (judge.nothing_left, {}, {}, "pass"),
        (judge.nothing_left, {}, {"checked_out": 1}, "fail"),
        (judge.nothing_left, {}, {"open_transactions": 1}, "fail"),
        (judge.nothing_left, {}, {"next_user": "TimeoutError"}, "fail"),
        (judge.fresh_state, {"stale": True}, {}, "fail"),
        (judge.cancelled_at_once, {"said": Said.CANCELLED, "after_cancel": 0.01}, {}, "pass"),
        (judge.cancelled_at_once, {"said": Said.CANCELLED, "after_cancel": 3.0}, {}, "fail"),
        (judge.cancelled_at_once, {"said": Said.DONE, "after_cancel": 0.01}, {}, "fail"),
        (judge.cancelled_at_once, {"said": Said.DONE}, {}, "inconclusive"),
        (judge.never_blocks, {}, {"lag": 0.2}, "fail"),
        (judge.never_blocks, {}, {"lag": 0.002}, "pass"),
    ],
)
def test_every_rule_tells_good_from_bad(rule: judge.Judge, unit: Any, others: Any, verdict: str) -> None:
    found, why = rule(facts(replace(DONE, **unit), **others))
    assert found == verdict
    assert "\n" not in why


def waiting(*waits: tuple[float, ...]) -> Facts:
    return facts(*(replace(DONE, waits=one) for one in waits))


def test_waits_that_grow_and_differ_are_right() -> None:
    assert judge.growing_waits(waiting((0.01, 0.02, 0.05), (0.02, 0.01, 0.08), (0.01, 0.03, 0.06)))[0] == "pass"


@pytest.mark.parametrize(
    ("rounds", "says"),
    [
        (((0.1, 0.2, 0.4),) * 3, "the same"),
        (((0.1, 0.12), (0.12, 0.1), (0.11, 0.11)), "did not grow"),
        (((0.0, 0.0),) * 3, "without waiting"),
    ],
)
def test_waits_that_are_wrong_are_told_apart(rounds: tuple[tuple[float, ...], ...], says: str) -> None:
    verdict, why = judge.growing_waits(waiting(*rounds))
    assert verdict == "fail"
    assert says in why


def test_a_storm_that_does_not_calm_down_is_wrong() -> None:
    steady = tuple(n / 100 for n in range(200))
    calming = (*(n / 10 for n in range(10)), 1.5)
    assert judge.calm_in_a_storm(2.0)(facts(attempts_at=steady))[0] == "fail"
    assert judge.calm_in_a_storm(2.0)(facts(attempts_at=calming))[0] == "pass"


def test_a_fault_that_left_no_firing_shows_nothing() -> None:
    case = Case("c", "safety", judge.safe)
    assert judged(case, replace(facts(), evidence=())).verdict is Verdict.INCONCLUSIVE
    assert judged(case, facts()).verdict is Verdict.PASS


def card(*verdicts: str) -> Scorecard:
    rows = zip(DIMENSIONS, verdicts, strict=True)
    result = judged(Case("c & <d>", "safety", judge.safe), facts())
    cases = (result.__class__(**{**_fields(result), "dimension": d, "verdict": Verdict(v)}) for d, v in rows)
    return Scorecard("p", tuple(cases))


def _fields(result: Any) -> dict[str, Any]:
    return {name: getattr(result, name) for name in result.__struct_fields__}


@pytest.mark.parametrize(
    ("verdicts", "verdict"),
    [
        (("pass",) * 4, "pass"),
        (("pass", "inconclusive", "pass", "pass"), "inconclusive"),
        (("pass", "inconclusive", "fail", "pass"), "fail"),
    ],
)
def test_a_policy_is_accepted_only_if_every_dimension_passes(verdicts: tuple[str, ...], verdict: str) -> None:
    made = card(*verdicts)
    assert (made.verdict, made.accepted) == (verdict, verdict == "pass")


def test_json_has_exactly_what_is_promised() -> None:
    told = to_json(card("pass", "fail", "pass", "pass"))
    assert list(told) == ["policy", "accepted", "dimensions", "cases"]
    assert told["dimensions"] == {"safety": "pass", "liveness": "fail", "restraint": "pass", "hygiene": "pass"}
    wanted = "case dimension said effects ledger attempts seconds verdict why evidence"
    assert list(told["cases"][0]) == wanted.split()


def test_junit_and_badge_are_well_formed() -> None:
    made = card("pass", "fail", "inconclusive", "pass")
    suite = Xml.fromstring(junit(made))  # noqa: S314 - our own
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("4", "1", "1")
    assert Xml.fromstring(badge(made)).get("aria-label") == "retry policy: rejected"  # noqa: S314 - our own
    assert scorecard(made) is not None


def test_cases_have_names_of_their_own_and_cover_every_dimension() -> None:
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.dimension for case in CASES} == {*DIMENSIONS, "cost"}
