"""The scorecard: every case with its verdict, each dimension, and whether the policy is accepted; a plain value."""

from __future__ import annotations

from typing import Any

import msgspec

from lab.validate.cases import DIMENSIONS, Case
from lab.validate.facts import Facts, Said
from lab.verdict import Verdict, merge


class CaseResult(msgspec.Struct, frozen=True):
    """One case as it is reported: *said* and *ledger* of the first unit, *seconds* of the longest."""

    case: str
    dimension: str
    said: str
    effects: int
    ledger: str
    attempts: int
    seconds: float
    verdict: Verdict
    why: str
    evidence: tuple[str, ...]


class Scorecard(msgspec.Struct, frozen=True):
    """What a validation showed. *about* says what the cluster was made of, *seconds* how long it all took."""

    policy: str
    cases: tuple[CaseResult, ...]
    about: str = ""
    seconds: float = 0.0

    @property
    def dimensions(self) -> dict[str, Verdict]:
        """The worst verdict of each dimension."""
        return {name: merge(case.verdict for case in self.cases if case.dimension == name) for name in DIMENSIONS}

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        return merge(self.dimensions.values())

    @property
    def accepted(self) -> bool:
        """Whether every dimension passes."""
        return self.verdict is Verdict.PASS


def judged(case: Case, facts: Facts) -> CaseResult:
    """Return the result of a case. A fault that left no firing has shown nothing."""
    verdict, why = case.judge(facts)
    if not facts.evidence and case.dimension != "cost":
        verdict, why = Verdict.INCONCLUSIVE, f"no fault fired: the policy said {facts.unit.said} without meeting one"
    unit = facts.unit
    return CaseResult(
        case=case.name,
        dimension=case.dimension,
        said=unit.said.value,
        effects=unit.effects,
        ledger=unit.ledger,
        attempts=max(one.attempts for one in facts.units),
        seconds=round(max(one.seconds for one in facts.units), 3),
        verdict=verdict,
        why=why,
        evidence=facts.evidence,
    )


def left_out(case: Case, why: str) -> CaseResult:
    """Return the result of a case that was not run."""
    said = Said.NOTHING
    return CaseResult(case.name, case.dimension, said.value, 0, "honest", 0, 0.0, Verdict.INCONCLUSIVE, why, ())


def to_json(card: Scorecard) -> dict[str, Any]:
    """Return the scorecard as JSON has it."""
    return {
        "policy": card.policy,
        "accepted": card.accepted,
        "dimensions": {name: verdict.value for name, verdict in card.dimensions.items()},
        "cases": msgspec.to_builtins(card.cases),
    }
