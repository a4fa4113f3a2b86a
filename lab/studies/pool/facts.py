"""What is known of a cell after it was measured: facts, which must not change, and times, which may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lab.retry.view import view_of
from lab.studies.pool.cells import Cell


@dataclass(frozen=True, slots=True)
class PoolState:
    """Connections in use, connections open in all, and how many of these beyond the pool's size."""

    checked_out: int
    size: int
    overflow: int


@dataclass(frozen=True, slots=True)
class Facts:
    """What four users met, one after the other; the first one when the fault struck.

    *errors*: one for each user that met one, in order. *hangs*: the first was not told within the bound, and the rest
    was not tried. *opened*: connections opened since the fault. *works*: the last user met no error.
    """

    errors: tuple[str, ...]
    hangs: bool
    opened: int
    pool: PoolState
    works: bool

    def __str__(self) -> str:
        """Return them as expectations are written."""
        state = f"pool {self.pool.checked_out}/{self.pool.size}/{self.pool.overflow}"
        if self.hangs:
            return f"hangs; {state}"
        errors = " + ".join(_counted(self.errors)) or "no error"
        return f"{errors}; {self.opened} opened; {state}; {'works' if self.works else 'still fails'}"

    @property
    def mark(self) -> str:
        """Errors / opened connections, for the terminal."""
        if self.hangs:
            return "hangs"
        return f"{len(self.errors)}/{self.opened}" + ("" if self.works else "!")


@dataclass(frozen=True, slots=True)
class Measured:
    """A cell with its facts, the *seconds* that each user waited, and the *bound* of these, if one is stated."""

    cell: Cell
    facts: Facts
    seconds: tuple[float, ...]
    bound: float | None

    @property
    def slowest(self) -> float:
        """Seconds until the application knew."""
        return max(self.seconds, default=0.0)


def told(error: BaseException) -> str:
    """Return an error as the application sees it: by its driver's or Python's class, and its SQLSTATE.

    SQLAlchemy's class stands before it if it has another name; "raw" if SQLAlchemy has not wrapped it at all.
    """
    view = view_of(error)
    own, driver = view.sqlalchemy_class, view.driver_class
    if driver is None:
        shown = f"sqlalchemy.{own}"
    elif own is None:
        shown = f"raw {driver}"
    else:
        shown = driver if driver.endswith(f".{own}") else f"{own} {driver}"
    return f"{shown} {view.sqlstate}" if view.sqlstate else shown


def _counted(errors: Sequence[str]) -> list[str]:
    counts = {error: errors.count(error) for error in errors}
    return [f"{count} x {error}" for error, count in counts.items()]
