"""Steps of several transactions in the order in which they are begun, as values.

All of them work on one table of pairs (id, value).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Literal, TypeAlias

Row: TypeAlias = tuple[int, int]
"""A row of the table: its id and its value."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which rows: all, the one with the id *number*, those whose value is *number*, or is a multiple of it."""

    by: Literal["all", "id", "value", "multiple"]
    number: int = 0

    def holds(self, row: Row) -> bool:
        """Tell whether *row* is among them."""
        if self.by == "all":
            return True
        if self.by == "id":
            return row[0] == self.number
        return row[1] == self.number if self.by == "value" else row[1] % self.number == 0


@dataclass(frozen=True, slots=True)
class Read:
    """Read the selected rows."""

    rows: Selection


@dataclass(frozen=True, slots=True)
class Write:
    """Set the selected rows to *value*; *added*: add it to what they hold instead."""

    rows: Selection
    value: int
    added: bool = False


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the selected rows."""

    rows: Selection


@dataclass(frozen=True, slots=True)
class Insert:
    """Insert a row."""

    row: Row


class End(enum.Enum):
    """How a transaction means to end."""

    COMMIT = "c"
    ABORT = "a"


Statement: TypeAlias = Read | Write | Delete | Insert
Action: TypeAlias = Statement | End


@dataclass(frozen=True, slots=True)
class Step:
    """One action of the *transaction* of that number; *text* is how it was written."""

    transaction: int
    action: Action
    text: str

    def __str__(self) -> str:
        return f"T{self.transaction}: {self.text}"


@dataclass(frozen=True, slots=True)
class Schedule:
    """Steps in the order in which they are begun, and the rows that the table holds before the first."""

    steps: tuple[Step, ...]
    initial: tuple[Row, ...]

    @property
    def transactions(self) -> tuple[int, ...]:
        """The numbers of the transactions, in order."""
        return tuple(sorted({step.transaction for step in self.steps}))
