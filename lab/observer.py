"""Who wants to know how a run goes on: a progress display, a live view, nobody."""

from __future__ import annotations

from typing import Protocol

from lab.history import FaultSpan, Outcome


class Observer(Protocol):
    """Told of what happens, as it happens; must return at once."""

    def phase(self, name: str) -> None:
        """Hear of a new phase."""

    def completed(self, outcome: Outcome) -> None:
        """Hear of an operation that ended."""

    def armed(self, fault: str) -> None:
        """Hear of a fault that takes effect."""

    def healed(self, span: FaultSpan) -> None:
        """Hear of a fault that is over, with its evidence."""


class Nobody:
    """Does not listen."""

    def phase(self, name: str) -> None:
        """Ignore it."""

    def completed(self, outcome: Outcome) -> None:
        """Ignore it."""

    def armed(self, fault: str) -> None:
        """Ignore it."""

    def healed(self, span: FaultSpan) -> None:
        """Ignore it."""
