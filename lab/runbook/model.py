"""A runbook as a value: what it needs, its bounds, and the blocks that the lab executes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from faults.plan import Fault
from lab.clusters.base import Capability

Kind = Literal["inject", "observe", "act", "verify"]

SECTIONS: Final = ("Symptom", "Signals", "Diagnosis", "Remedy", "Verification", "Prevention")
"""The sections of every runbook, in this order."""

BELONGS: Final[dict[str, Kind | None]] = {
    "Symptom": "inject",
    "Signals": "observe",
    "Diagnosis": "observe",
    "Remedy": "act",
    "Verification": "verify",
    "Prevention": None,
}
"""Section -> the kind of block that it must hold, and the only one that it may hold."""

NODE: Final = "{node}"
"""Stands for the node that was struck; operators put its name there."""

DIALECTS: Final = ("postgresql", "cockroachdb")
PROGRAM: Final = "cockroach program"
"""Condition: the lab has a ``cockroach`` that it may start."""

OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
}


@dataclass(frozen=True, slots=True)
class Expected:
    """What an observation has to give: a number compared by *sign*, or a *text* that it shows."""

    sign: str = ""
    number: float = 0.0
    text: str | None = None

    def holds(self, value: float | None, shown: str) -> bool:
        """Tell whether it holds of what was observed; no value never holds."""
        if self.text is not None:
            return self.text in shown
        return value is not None and OPERATORS[self.sign](value, self.number)

    def __str__(self) -> str:
        """Say it as the runbook does."""
        return f"shows {self.text}" if self.text is not None else f"{self.sign} {self.number:g}"


# --- what is injected -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Strike:
    """A fault of a plan."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Leak:
    """*connections* workers of the application begin a transaction, and wait in it for something else."""

    connections: int


@dataclass(frozen=True, slots=True)
class Storm:
    """*sessions* of clients that are gone hold the last slots; the application's end, and new ones are refused."""

    sessions: int


@dataclass(frozen=True, slots=True)
class Stale:
    """Sessions open now answer every write with *sqlstate*; new ones are well."""

    sqlstate: str


@dataclass(frozen=True, slots=True)
class Hot:
    """Most operations want the same *rows* rows."""

    rows: int


# --- what is observed -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class App:
    """A figure of the running application; *label* belongs to "errors"."""

    signal: str
    label: str = ""


@dataclass(frozen=True, slots=True)
class Sql:
    """A statement around the proxies; its value is the first column of its first row."""

    statement: str


@dataclass(frozen=True, slots=True)
class Ping:
    """Seconds that a node's answer takes, through its gateway; the slowest of several."""

    on: str


@dataclass(frozen=True, slots=True)
class Answers:
    """How many of these nodes answer through their gateways."""

    on: str


@dataclass(frozen=True, slots=True)
class Program:
    """A ``cockroach`` command, by its words after the program's name."""

    words: tuple[str, ...]


# --- what is done -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Restore:
    """Undo what is broken about a node or the server; *verb* tells which kind of trouble it ends."""

    verb: str
    on: str


@dataclass(frozen=True, slots=True)
class Rotation:
    """Take a node out of the rotation (its clients go elsewhere), or put it back."""

    on: str
    out: bool


@dataclass(frozen=True, slots=True)
class Roll:
    """Drain and restart one node after the other."""


@dataclass(frozen=True, slots=True)
class Recycle:
    """The application opens new connections in place of those that it has."""


@dataclass(frozen=True, slots=True)
class Queue:
    """At most *writers* writes of the application at once; the others wait in it."""

    writers: int


Injection: TypeAlias = Strike | Leak | Storm | Stale | Hot
Observation: TypeAlias = App | Sql | Ping | Answers | Program
Act: TypeAlias = Sql | Restore | Rotation | Roll | Recycle | Queue
Action: TypeAlias = Injection | Observation | Act


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a block: the *action*, its *text*, its *line* in the file, what it must give, on which clusters."""

    text: str
    line: int
    action: Action
    expected: Expected | None = None
    condition: str | None = None


Group: TypeAlias = tuple[Line, ...]
"""Lines of which the first that fits the cluster counts; without a condition, one line."""


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of the *kind* at *line*."""

    kind: Kind
    section: str
    line: int
    groups: tuple[Group, ...]

    def lines_for(self, facts: Collection[str]) -> list[Line]:
        """Return the lines that count on a cluster of which the *facts* hold."""
        chosen = (next((line for line in group if fits(line, facts)), None) for group in self.groups)
        return [line for line in chosen if line is not None]


def fits(line: Line, facts: Collection[str]) -> bool:
    """Tell whether a line is for a cluster of which the *facts* hold."""
    return line.condition is None or line.condition in facts


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a rehearsal has to keep: seconds to *detect*, to *recover*, and the service level during the incident.

    *error_rate* is a share from 0 to 1; *p99* is in seconds.
    """

    detect: float
    recover: float
    error_rate: float
    p99: float


@dataclass(frozen=True, slots=True)
class Runbook:
    """A runbook: its *name* is its file's, its *title* the first heading. *sections* holds their text.

    *planned*: it is work that somebody has begun on purpose, and no mystery to anybody.
    """

    name: str
    path: str
    title: str
    needs: frozenset[Capability]
    bounds: Bounds
    blocks: tuple[Block, ...]
    sections: tuple[tuple[str, str], ...]
    planned: bool = False

    def of(self, section: str) -> list[Block]:
        """Return the blocks of a section, in order."""
        return [block for block in self.blocks if block.section == section]

    def lines(self, section: str, facts: Collection[str]) -> list[Line]:
        """Return the lines of a section that count where the *facts* hold."""
        return [line for block in self.of(section) for line in block.lines_for(facts)]
