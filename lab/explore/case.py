"""One run of the unit with one fault at one moment, and the judgement: pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from faults.client import FiringInfo
from lab.checks.ledger import LEDGER, WRONG
from lab.explore.moments import Step, Strike
from lab.history import Outcome
from lab.loading import brief
from lab.verdict import Verdict

UNKNOWN = frozenset({"OutcomeUnknown", "AmbiguousCommitError"})
"""Names of exception classes that say: it may have been done."""

REMEDIES = {
    "phantom": "an unheard answer is no failure: raise OutcomeUnknown, or settle it with an idempotency key",
    "duplicate": "repeat after an unheard answer only with an idempotency key in the same transaction",
    "lost": "say done only after COMMIT was acknowledged",
}
"""Ledger's word -> how to mend it."""

SAID = {Outcome.OK: "done", Outcome.FAIL: "failed", Outcome.INFO: "unknown"}


class GoesOn(Exception):
    """In place of what a unit raises: it does not end."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What one run showed: its *error* (None: it returned), the change in *effects*, *left* connections not returned.

    *ended* is False if it had to be cancelled. *firings* is the proxy's record of what struck.
    """

    error: BaseException | None
    effects: int
    left: int
    ended: bool
    seconds: float
    firings: tuple[FiringInfo, ...]


@dataclass(frozen=True, slots=True)
class Case:
    """A judged run. *ledger* is the ledger's word; *why* one sentence."""

    step: Step
    strike: Strike
    said: Outcome
    ledger: str
    verdict: Verdict
    why: str
    ran: Ran

    @property
    def only(self) -> str:
        """What --only takes to repeat it."""
        return f"{self.step.number}:{self.strike}"


def said_of(error: BaseException | None, unknown: Collection[str]) -> Outcome:
    """Return what the unit said by returning or raising; *unknown* are names of classes that say unknown."""
    if error is None:
        return Outcome.OK
    if isinstance(error, BaseExceptionGroup):
        said = {said_of(one, unknown) for one in error.exceptions}
        return Outcome.INFO if Outcome.INFO in said else Outcome.FAIL
    names = {kind.__name__ for kind in type(error).__mro__}
    return Outcome.INFO if names & set(unknown) else Outcome.FAIL


def judge(step: Step, strike: Strike, ran: Ran, unknown: Collection[str]) -> Case:
    """Judge a run with the ledger."""
    said = said_of(ran.error, unknown)
    word = LEDGER[said, min(max(ran.effects, 0), 2)]
    verdict, why = _verdict(step, said, word, ran)
    return Case(step, strike, said, word, verdict, why, ran)


def _verdict(step: Step, said: Outcome, word: str, ran: Ran) -> tuple[Verdict, str]:
    what = f"it said {SAID[said]}{f' ({words(ran.error)})' if ran.error else ''}"
    if not ran.ended:
        goes_on = f", and {ran.error}" if isinstance(ran.error, GoesOn) else ""
        return Verdict.FAIL, f"it did not end within {ran.seconds:.1f} s{goes_on}"
    if ran.effects < 0:
        return Verdict.FAIL, f"{what}, and the number of effects fell by {-ran.effects}"
    if word in WRONG:
        return Verdict.FAIL, f"{what}, yet effects: {ran.effects} ({_truth(ran)}): {word}; {REMEDIES[word]}"
    if ran.left:
        return Verdict.FAIL, f"{what}, and left {ran.left} connections checked out"
    if len(ran.firings) != 1:
        return Verdict.INCONCLUSIVE, f"the fault struck {len(ran.firings)} times instead of once"
    if ran.firings[0].statement != step.kind:
        met = ran.firings[0].statement or "a ping"
        return Verdict.INCONCLUSIVE, f"the fault met {met} instead of {step.kind or 'a ping'}: the order changes"
    return Verdict.PASS, f"{what}; effects: {ran.effects}"


def words(error: BaseException) -> str:
    """Return an error in few words: SQLAlchemy's class, and what the driver said."""
    orig = getattr(error, "orig", None)
    if not isinstance(orig, BaseException):
        return brief(error)
    return f"{type(error).__name__} of {brief(orig.__cause__ or orig)}"


def _truth(ran: Ran) -> str:
    if not ran.firings:
        return "no fault struck"
    firing = ran.firings[-1]
    if not firing.forwarded:
        return f"{firing.statement} was not sent to the server"
    return f"the server answered {firing.statement} with {firing.answer or 'nothing'}"
