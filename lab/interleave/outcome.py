"""What happened when a schedule was run, as a plain value."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass

from lab.interleave.model import Answer
from lab.interleave.steps import End, Row, Schedule, Step


class Fate(enum.StrEnum):
    """What became of a transaction, as far as its client was told."""

    COMMITTED = "committed"
    ABORTED = "aborted"
    """It asked to be."""

    FAILED = "failed"
    """The database, or the way there, ended it."""

    UNKNOWN = "unknown"
    """It was lost while it committed."""


class Blocked(enum.StrEnum):
    """How we know that a step had to wait for another transaction."""

    LOCK = "lock"
    """The server named the transaction whose lock it waited for."""

    SILENCE = "silence"
    """It did not come back within the bound."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one step met: an *answer*, or an error; neither if it was skipped, its transaction having failed before.

    *sqlstate* is None for an error that did not come from the server. *done* is its place among the steps in the order
    in which they came back, from 0; None for one that was skipped. The end of a transaction, and a step that it lets
    go, may come back in either order.
    """

    step: Step
    answer: Answer | None = None
    error: str | None = None
    sqlstate: str | None = None
    blocked: Blocked | None = None
    done: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What every step of a schedule met (in the schedule's order), each transaction's fate, and the final rows."""

    schedule: Schedule
    seen: tuple[Seen, ...]
    fates: dict[int, Fate]
    final: tuple[Row, ...]

    @property
    def committed(self) -> tuple[int, ...]:
        """The numbers of the transactions that committed."""
        return tuple(number for number, fate in sorted(self.fates.items()) if fate is Fate.COMMITTED)

    @property
    def errors(self) -> tuple[Seen, ...]:
        """The steps that met an error."""
        return tuple(seen for seen in self.seen if seen.error is not None)

    def of(self, transaction: int) -> Iterator[Seen]:
        """Yield what the statements of *transaction* met, its end left out."""
        return (s for s in self.seen if s.step.transaction == transaction and not isinstance(s.step.action, End))
