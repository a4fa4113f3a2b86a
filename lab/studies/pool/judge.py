"""Comparing what was measured with what is expected: a difference names the cell, what was expected and what seen."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.studies.pool.cells import COLUMNS, Client
from lab.studies.pool.facts import Measured
from lab.studies.pool.matrix import SLACK
from lab.verdict import Finding, Verdict

Expected = Mapping[str, Sequence[str]]
"""Name of a cell -> what may be seen there; more than one where two ends of a race look different."""

SHOWN = 3
"""Differences that a finding names."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one of the further looks at pools has seen through one client."""

    title: str
    client: Client
    text: str
    seconds: float

    @property
    def name(self) -> str:
        """Its name in expectations and findings."""
        return f"{self.title}, {self.client}"


def judge(measured: Sequence[Measured], seen: Sequence[Seen], expected: Expected) -> tuple[Finding, ...]:
    """Return a finding for each column of the matrix, and one for the further looks."""
    findings = []
    for client, setting in COLUMNS:
        cells = [one for one in measured if (one.cell.client, one.cell.setting) == (client, setting)]
        found = compare(f"{client} {setting}", [(one.cell.name, str(one.facts)) for one in cells], expected)
        findings.append(_bounded(found, cells))
    return (*findings, compare("more about pools", [(one.name, one.text) for one in seen], expected))


def compare(check: str, shown: Iterable[tuple[str, str]], expected: Expected) -> Finding:
    """Compare names and what was seen there; doubt if nothing was, or if nothing is known of it."""
    known = dict(shown)
    wrong = [name for name, text in known.items() if name in expected and text not in expected[name]]
    if wrong:
        told = [f"{name}: expected '{' or '.join(expected[name])}', seen '{known[name]}'" for name in wrong[:SHOWN]]
        more = f" (and {len(wrong) - SHOWN} more)" if len(wrong) > SHOWN else ""
        return Finding(check, Verdict.FAIL, f"{'; '.join(told)}{more}")
    if strange := [name for name in known if name not in expected]:
        return Finding(check, Verdict.INCONCLUSIVE, f"nothing is known of '{strange[0]}': '{known[strange[0]]}'")
    if not known:
        return Finding(check, Verdict.INCONCLUSIVE, "nothing of it can be measured on this cluster")
    return Finding(check, Verdict.PASS, f"{len(known)} as expected")


def _bounded(found: Finding, cells: Sequence[Measured]) -> Finding:
    stated = [one for one in cells if one.bound is not None]
    late = [one for one in stated if one.bound is not None and one.slowest > one.bound + SLACK]
    if late:
        one = late[0]
        why = f"{one.cell.name}: {one.slowest:.1f} s, and its bound is {one.bound:g} s"
        return Finding(found.check, Verdict.FAIL, why if found.verdict is not Verdict.FAIL else f"{found.why}; {why}")
    if stated and found.verdict is Verdict.PASS:
        slowest = max(one.slowest for one in stated)
        why = f"{found.why}; the slowest after {slowest:.1f} s, the stated bound being {stated[0].bound:g} s"
        return Finding(found.check, found.verdict, why)
    return found
