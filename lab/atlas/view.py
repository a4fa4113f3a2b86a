"""What an application sees of an error, and what became of its unit of work: the columns of the atlas."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lab.atlas.cells import Cell
from lab.retry.classify import Decision, Phase, classify
from lab.retry.view import View
from lab.verdict import Verdict

SURE = frozenset(Decision) - {Decision.UNKNOWN}
"""Decisions that take for granted that nothing was applied."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell with what was measured.

    *fired*: the fault certainly struck, once. *forwarded* and *answer* are the firing's record (None without a rule).
    *phase* is how far the unit had come. *decision* is None for a unit that saw no error.
    """

    cell: Cell
    fired: bool
    view: View | None
    phase: Phase
    invalidated: bool | None
    applied: int
    decision: Decision | None
    forwarded: bool | None
    answer: str | None

    @property
    def safe(self) -> bool:
        """Whether the decision is consistent with the truth: nothing is done twice, nothing done is called failed."""
        if self.decision is None:
            return self.applied == 1
        return self.applied == 0 or (self.decision is Decision.UNKNOWN and self.applied == 1)


def decision_of(error: BaseException | None, phase: Phase) -> Decision | None:
    """Return what the lab's policy would do."""
    return None if error is None else classify(error, phase)


def judge(cells: Iterable[Measured]) -> Verdict:
    """Return fail if a decision contradicts the truth, inconclusive if a fault did not strike."""
    measured = tuple(cells)
    if any(not one.safe for one in measured):
        return Verdict.FAIL
    return Verdict.PASS if measured and all(one.fired for one in measured) else Verdict.INCONCLUSIVE
