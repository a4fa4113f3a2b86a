"""Verdicts: pass, fail or inconclusive; doubt is never a pass."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from lab.history import History

MOST_WITNESSES = 20
"""Operations that a verdict names; more would hide the point."""


class Verdict(enum.StrEnum):
    """The answer of a check."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Finding(msgspec.Struct, frozen=True):
    """What one check found: its verdict, why in one sentence, and the indexes of the operations that show it."""

    check: str
    verdict: Verdict
    why: str
    operations: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A named pure function from a history to a finding; *says* is what it asserts, as a sentence."""

    name: str
    says: str
    judge: Callable[[History], tuple[Verdict, str, Iterable[int]]]

    def __call__(self, history: History) -> Finding:
        """Judge a history. An empty one cannot pass.

        Nor can one that was cut, and what was under way at the cut is held against nobody.
        """
        verdict, why, operations = self.judge(history if history.complete else history.finished())
        if verdict is Verdict.PASS and not history.operations:
            verdict, why = Verdict.INCONCLUSIVE, "no operation was recorded"
        if verdict is Verdict.PASS and not history.complete:
            verdict, why = Verdict.INCONCLUSIVE, f"the journal is incomplete; up to the cut: {why}"
        return Finding(self.name, verdict, why, tuple(operations)[:MOST_WITNESSES])


Judgement: TypeAlias = tuple[Verdict, str, Iterable[int]]


def passed(why: str) -> Judgement:
    """Return a pass with its reason."""
    return Verdict.PASS, why, ()


def failed(why: str, operations: Iterable[int] = ()) -> Judgement:
    """Return a failure with the operations that show it."""
    return Verdict.FAIL, why, operations


def inconclusive(why: str) -> Judgement:
    """Return doubt with its reason."""
    return Verdict.INCONCLUSIVE, why, ()


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict: any fail is a fail, any doubt is doubt; nothing at all is doubt."""
    seen = set(verdicts)
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if worst in seen:
            return worst
    return Verdict.PASS if seen else Verdict.INCONCLUSIVE
