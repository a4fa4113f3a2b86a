"""Verdicts: pass, fail or inconclusive; doubt is never a pass."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

import msgspec

from lab.history import History

MOST_WITNESSES = 20
"""Operations that a verdict names; more would hide the point."""


class Verdict(enum.StrEnum):
    """The answer of a check."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class Dependency(msgspec.Struct, frozen=True):
    """One operation has to come before another: *source* before *target* (indexes), by a *kind* of dependency.

    Kinds: ww, wr, rw (Adya), process, realtime. *because* is a sentence that an engineer understands.
    """

    source: int
    target: int
    kind: str
    because: str


class Anomaly(msgspec.Struct, frozen=True):
    """Something that the model forbids, by its *name* in the field, the *operations* (indexes) that show it, and why.

    *cycle* holds the dependencies in order if it is a cycle: the target of the last is the source of the first.
    """

    name: str
    operations: tuple[int, ...]
    why: str
    cycle: tuple[Dependency, ...] = ()


class Finding(msgspec.Struct, frozen=True):
    """What one check found: its verdict, why in one sentence, and the indexes of the operations that show it.

    *anomalies* are the witnesses of a check that knows names for what is wrong.
    """

    check: str
    verdict: Verdict
    why: str
    operations: tuple[int, ...] = ()
    anomalies: tuple[Anomaly, ...] = ()


class Judgement(NamedTuple):
    """What a check says of a history, before its name is put on it; see `Finding`."""

    verdict: Verdict
    why: str
    operations: Iterable[int] = ()
    anomalies: tuple[Anomaly, ...] = ()

    def named(self, check: str) -> Finding:
        """Return the finding of the check of this name."""
        shown = tuple(itertools.islice(self.operations, MOST_WITNESSES))
        return Finding(check, self.verdict, self.why, shown, self.anomalies)


@dataclass(frozen=True, slots=True)
class Check:
    """A named pure function from a history to a finding; *says* is what it asserts, as a sentence.

    *pending*: it knows that operations without a completion may have taken effect, and wants to see them.
    """

    name: str
    says: str
    judge: Callable[[History], Judgement]
    pending: bool = False

    def __call__(self, history: History) -> Finding:
        """Judge a history. An empty one cannot pass.

        Nor can one that was cut, and what was under way at the cut is held against nobody.
        """
        judgement = self.judge(history if history.complete or self.pending else history.finished())
        if judgement.verdict is Verdict.PASS and not history.operations:
            judgement = inconclusive("no operation was recorded")
        if judgement.verdict is Verdict.PASS and not history.complete:
            judgement = inconclusive(f"the journal is incomplete; up to the cut: {judgement.why}")
        return judgement.named(self.name)


def passed(why: str, anomalies: tuple[Anomaly, ...] = ()) -> Judgement:
    """Return a pass with its reason, and anomalies that the model allows but people may want to know."""
    return Judgement(Verdict.PASS, why, (), anomalies)


def failed(why: str, operations: Iterable[int] = (), anomalies: tuple[Anomaly, ...] = ()) -> Judgement:
    """Return a failure with the operations, or the named anomalies, that show it."""
    return Judgement(Verdict.FAIL, why, operations, anomalies)


def inconclusive(why: str) -> Judgement:
    """Return doubt with its reason."""
    return Judgement(Verdict.INCONCLUSIVE, why)


def merge(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict: any fail is a fail, any doubt is doubt; nothing at all is doubt."""
    seen = set(verdicts)
    for worst in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        if worst in seen:
            return worst
    return Verdict.PASS if seen else Verdict.INCONCLUSIVE
