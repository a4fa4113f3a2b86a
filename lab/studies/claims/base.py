"""A claim: a sentence that people believe, the parts of it that can be seen to hold or not, and what is expected."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass

from lab.clusters.base import Capability
from lab.studies.claims.bench import Bench
from lab.studies.claims.needs import Need
from lab.verdict import Finding, Verdict


class Truth(enum.StrEnum):
    """What a measurement says of a sentence."""

    TRUE = "true"
    PARTLY = "partly"
    FALSE = "false"
    UNCLEAR = "unclear"


@dataclass(frozen=True, slots=True)
class Part:
    """One thing that the sentence *says*, whether it *holds* (None: too little was seen), and what was *seen*."""

    says: str
    holds: bool | None
    seen: str


@dataclass(frozen=True, slots=True)
class Measured:
    """The parts of a claim as they were measured, and the decisive *figure* of them in at most FIGURE characters."""

    figure: str
    parts: tuple[Part, ...]

    @property
    def truth(self) -> Truth:
        """True if every part holds, false if none does, partly otherwise; unclear if one could not be seen."""
        return truth_of(part.holds for part in self.parts)


FIGURE = 42
"""Characters of a decisive figure: so that the table of all claims fits into 80 columns."""


def truth_of(holds: Iterable[bool | None]) -> Truth:
    """Return what parts that hold or not make of a sentence; no parts at all are unclear."""
    seen = list(holds)
    if not seen or None in seen:
        return Truth.UNCLEAR
    if all(seen):
        return Truth.TRUE
    return Truth.PARTLY if any(seen) else Truth.FALSE


Measure = Callable[[Bench], Awaitable[Measured]]
"""Measure on a bench; what the database or the driver raises unasked leaves the claim unclear."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A *sentence* that people believe; whether each of its parts is *expect*-ed to hold; what to do *instead*.

    *needs* is what the cluster must be able to do, *of_server* what the server must have: else the claim is left out.
    """

    name: str
    sentence: str
    expect: tuple[bool, ...]
    instead: str
    measure: Measure
    needs: frozenset[Capability] = frozenset()
    of_server: frozenset[Need] = frozenset()

    @property
    def expected(self) -> Truth:
        """The verdict as it was when the claim was written."""
        return truth_of(self.expect)


def judge(claim: Claim, measured: Measured | None, trouble: str = "") -> Finding:
    """Compare what was measured with what is expected, part by part.

    FAIL: a library or the database behaves in another way now, and the sentence says what was seen. INCONCLUSIVE: a
    part could not be seen, or *trouble* kept the whole from being measured.
    """
    name = f"claims/{claim.name}"
    if measured is None:
        return Finding(name, Verdict.INCONCLUSIVE, f"could not be measured: {trouble}")
    if dim := [part for part in measured.parts if part.holds is None]:
        return Finding(name, Verdict.INCONCLUSIVE, f"too little was seen of '{dim[0].says}': {dim[0].seen}")
    if len(measured.parts) != len(claim.expect):
        why = f"{len(measured.parts)} parts were measured, {len(claim.expect)} are expected"
        return Finding(name, Verdict.FAIL, why)
    odd = [part for part, expect in zip(measured.parts, claim.expect, strict=True) if part.holds is not expect]
    if odd:
        told = "; ".join(f"'{part.says}' {'holds' if part.holds else 'does not hold'}: {part.seen}" for part in odd)
        return Finding(name, Verdict.FAIL, f"{measured.truth}, and {claim.expected} was expected: {told}")
    return Finding(name, Verdict.PASS, f"{measured.truth}, as expected: {measured.figure}")
