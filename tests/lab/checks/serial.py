"""Histories of workloads: written down by hand, or left by a serial execution whose clients overlap."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TypeAlias

from msgspec.structs import replace

from lab.history import History, Json, Operation, Outcome
from lab.verdict import Check, Verdict

OK, FAIL, INFO = Outcome.OK, Outcome.FAIL, Outcome.INFO
PASS, FAILED, DOUBT = Verdict.PASS, Verdict.FAIL, Verdict.INCONCLUSIVE

Span: TypeAlias = tuple[float, float | None]
Plant: TypeAlias = Callable[[History, Random], History]
"""Puts one anomaly into a history that has none."""


def one(
    kind: str, value: Json = None, result: Json = None, outcome: Outcome = OK, span: Span | None = None
) -> Operation:
    """Return an operation for `told`; without a *span* it begins after all that are written before it."""
    invoked, completed = span or (-1.0, None)
    return Operation(0, 0, kind, value, outcome, invoked, completed, result)


def told(*operations: Operation) -> History:
    """Return a history written down by hand; operations without a span end before the next begins."""
    placed = [
        replace(operation, invoked=10.0 * place, completed=10.0 * place + 5) if operation.invoked < 0 else operation
        for place, operation in enumerate(operations, 1)
    ]
    return numbered(placed)


def numbered(operations: list[Operation]) -> History:
    """Return the history of operations in any order."""
    ordered = sorted(operations, key=lambda operation: operation.invoked)
    return History(tuple(replace(operation, index=index) for index, operation in enumerate(ordered)))


def judged(check: Check, history: History) -> tuple[Verdict, set[str]]:
    """Return the verdict of a check and the names of the anomalies that it found."""
    finding = check(history)
    known = {operation.index for operation in history.operations}
    for anomaly in finding.anomalies:
        assert anomaly.why
        assert set(anomaly.operations) <= known
    return finding.verdict, {anomaly.name for anomaly in finding.anomalies}


def some(history: History, random: Random, kind: str, wanted: Callable[[Operation], bool] = bool) -> Operation:
    """Return one of the ok operations of a kind."""
    return random.choice([o for o in history.of_kind(kind) if o.outcome is OK and wanted(o)])


def with_result(history: History, index: int, result: Json) -> History:
    """Return the history with another answer to one operation."""
    return History(tuple(replace(o, result=result) if o.index == index else o for o in history.operations))


def with_outcome(history: History, index: int, outcome: Outcome) -> History:
    """Return the history with another outcome of one operation."""
    return History(tuple(replace(o, outcome=outcome) if o.index == index else o for o in history.operations))


class Serial:
    """Operations that take effect one at a time, while clients see them overlap.

    What failed has no effect; what is unknown may have one, even after its client was told so.
    """

    def __init__(self, seed: int, overlap: float = 3.0) -> None:
        self.random = Random(seed)
        self.overlap = overlap
        self.now = 0.0
        self.operations: list[Operation] = []

    def run(self, kind: str, value: Json, effect: Callable[[], Json], outcome: Outcome | None = None) -> None:
        """Carry out one operation; its *outcome* is drawn if none is given."""
        self.now += 1
        outcome = outcome or self.random.choice([OK, OK, OK, FAIL, INFO])
        done = outcome is OK or (outcome is INFO and self.random.random() < 0.5)
        result = effect() if done else None
        self.note(kind, value, result if outcome is OK else None, outcome)

    def note(self, kind: str, value: Json, result: Json, outcome: Outcome, since: float | None = None) -> None:
        """Put down an operation that has its effect now, and began before *since* if that is given."""
        invoked = (self.now if since is None else since) - self.random.uniform(0, self.overlap)
        completed: float | None = self.now + self.random.uniform(0, self.overlap)
        if outcome is INFO:
            completed = self.random.choice([None, self.random.uniform(invoked, self.now + self.overlap)])
        process = self.random.randrange(3)
        self.operations.append(Operation(0, process, kind, value, outcome, invoked, completed, result))

    def settle(self) -> None:
        """Let everything that is under way end."""
        self.now += 3 * self.overlap

    def history(self) -> History:
        """Return what the clients saw."""
        return numbered(self.operations)
