"""What happened in a run, as plain values: operations, faults and final observations. Checks read nothing else."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import msgspec

if TYPE_CHECKING:
    Json: TypeAlias = bool | int | float | str | list["Json"] | dict[str, "Json"] | None
else:
    Json = Any  # msgspec reads annotations, and knows no recursive ones

Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
"""How often something was found; a journal that says otherwise is refused."""


GIVEN_UP = "given up"
"""The last error of an operation that the end of the run cut short: it might have come back later."""

REFUSED = "refused"
"""The last error of an operation whose own condition did not hold: that is an answer, and nobody's fault."""


class Outcome(enum.StrEnum):
    """How an operation ended, as far as the application was told."""

    OK = "ok"
    """Certainly done."""

    FAIL = "fail"
    """Certainly not done."""

    INFO = "info"
    """Unknown: it may have been done, or may still be."""


class Operation(msgspec.Struct, frozen=True):
    """One operation of one client. Times are seconds since the start of the run; *unit* names its effect, if any.

    *attempts* counts the transactions begun for it; *errors* says what each failed one met, and where.
    """

    index: int
    process: int
    kind: str
    value: Json
    outcome: Outcome
    invoked: float
    completed: float | None
    result: Json = None
    unit: str | None = None
    attempts: int = 0
    errors: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it took; infinite if it never came back."""
        return math.inf if self.completed is None else self.completed - self.invoked

    @property
    def given_up(self) -> bool:
        """Whether the end of the run cut it short."""
        return self.errors[-1:] == (GIVEN_UP,)

    @property
    def answered(self) -> bool:
        """Whether the application was told what it had asked for: it is done, or its own condition did not hold."""
        return self.outcome is Outcome.OK or self.errors[-1:] == (REFUSED,)


class FaultSpan(msgspec.Struct, frozen=True):
    """A step of the plan as it was carried out: what it was, when it was armed and healed (seconds), and its evidence.

    *events* counts what the fault did, on *connections* connections with *bytes* bytes; *note* says it in words.
    """

    step: int
    fault: str
    armed: float
    healed: float
    events: int = 0
    connections: int = 0
    bytes: int = 0
    first: float | None = None
    last: float | None = None
    note: str = ""

    @property
    def fired(self) -> bool:
        """Whether there is evidence that the fault did something."""
        return self.events > 0


class Final(msgspec.Struct, frozen=True):
    """What was seen after everything was healed: the workload's state, effects per unit, what was not given back.

    *effects* maps a unit to how many times the database holds its effect; *checked_out* counts connections that the
    application's pool still misses, *idle_in_transaction* the sessions that the server still holds open for it.
    """

    state: Json
    effects: dict[str, Count]
    checked_out: Count
    idle_in_transaction: Count


class History(msgspec.Struct, frozen=True):
    """Operations in order of invocation, the faults that were planned and done, and the final observations.

    *final* is None if the run ended before they were made; *complete* is False for a journal that was cut.
    """

    operations: tuple[Operation, ...] = ()
    faults: tuple[FaultSpan, ...] = ()
    planned: int = 0
    final: Final | None = None
    complete: bool = True

    def of_kind(self, kind: str) -> Iterator[Operation]:
        """Yield the operations of a kind."""
        return (operation for operation in self.operations if operation.kind == kind)

    def count(self, outcome: Outcome) -> int:
        """Return how many operations had an outcome."""
        return sum(operation.outcome is outcome for operation in self.operations)

    def finished(self) -> History:
        """Return the history without the operations that never came back."""
        ended = tuple(operation for operation in self.operations if operation.completed is not None)
        return msgspec.structs.replace(self, operations=ended)

    @property
    def healed(self) -> float:
        """When the last fault was healed, in seconds since the start; 0 if there was none."""
        return max((span.healed for span in self.faults), default=0.0)

    @property
    def writes(self) -> tuple[Operation, ...]:
        """The operations that have an effect."""
        return tuple(operation for operation in self.operations if operation.unit is not None)


def percentile(values: list[float], share: float) -> float:
    """Return the nearest-rank percentile (*share* from 0 to 1) of sorted *values*; NaN for none."""
    if not values:
        return math.nan
    rank = math.ceil(round(share * len(values), 9))  # 0.07 * 100 is a little more than 7
    return values[min(max(rank, 1), len(values)) - 1]
