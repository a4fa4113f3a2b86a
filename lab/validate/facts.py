"""What was seen in one case: plain values, from which the judge decides and the scorecard is made."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from lab.checks.ledger import LEDGER
from lab.history import Outcome


class Said(enum.StrEnum):
    """What a policy said about a unit of work."""

    DONE = "done"
    UNKNOWN = "unknown"
    FAILED = "failed"
    CANCELLED = "cancelled"
    NOTHING = "no answer"  # it had to be ended


_OUTCOMES = {Said.DONE: Outcome.OK, Said.FAILED: Outcome.FAIL}


@dataclass(frozen=True, slots=True)
class UnitFacts:
    """One unit of work: what the policy *said*, the *error* it raised, and what it did to get there.

    *calls* counts calls of the work, *begun* sessions; *hits* the permanent errors that the work met. *waits* are
    seconds between attempts. *stale*: an attempt began in the state of an earlier one. *after_cancel* is seconds from
    the cancellation to the end, None without one, and *calls_after_cancel* what was begun in spite of it.
    """

    said: Said
    effects: int
    seconds: float
    error: str = ""
    calls: int = 0
    begun: int = 0
    hits: int = 0
    waits: tuple[float, ...] = ()
    stale: bool = False
    after_cancel: float | None = None
    calls_after_cancel: int = 0

    @property
    def attempts(self) -> int:
        """Attempts: calls of the work, or sessions where a connection was refused before it."""
        return max(self.calls, self.begun)

    @property
    def ledger(self) -> str:
        """The ledger's word: what was said against what the database holds."""
        return LEDGER[_OUTCOMES.get(self.said, Outcome.INFO), min(self.effects, 2)]


@dataclass(frozen=True, slots=True)
class Facts:
    """One case. *evidence* says in one line each what the faults did; empty means that nothing fired.

    *checked_out* connections and *open_transactions* were left behind; *next_user* is the trouble that the next user of
    the pool had. *lag* is the longest time (s) that the event loop stood still. *attempts_at* are the seconds since the
    start of every attempt. *deadline* (s) is the bound that was set for one unit.
    """

    units: tuple[UnitFacts, ...]
    evidence: tuple[str, ...]
    deadline: float
    keyed: bool
    checked_out: int = 0
    open_transactions: int = 0
    next_user: str = ""
    lag: float = 0.0
    attempts_at: tuple[float, ...] = ()
    statements: int = 0

    @property
    def unit(self) -> UnitFacts:
        """The first unit; most cases have one."""
        return self.units[0]
