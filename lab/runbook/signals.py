"""What the running application feels, moment by moment: the figures that a dashboard of its own would show."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, cast

from sqlalchemy.pool import QueuePool

from lab.conducting import Live
from lab.history import REFUSED, Outcome, percentile
from lab.journal import Completed, Invoked, Record
from lab.runbook.model import App

WINDOW: Final = 2.0
"""Seconds that a figure looks back."""

PATIENT: Final = 1.0
"""Seconds after which an operation that still waits counts as one that was not done."""

CONFLICTS: Final = frozenset({"40001", "40P01"})


class _Ended(NamedTuple):
    at: float
    client: int
    seconds: float
    answered: bool
    errors: tuple[str, ...]


class Watch:
    """Listens to a run, and tells its figures of the last WINDOW seconds."""

    def __init__(self, live: Live) -> None:
        self._live = live
        self._open: dict[int, Invoked] = {}
        self._ended: deque[_Ended] = deque()
        self._clients: set[int] = set()
        live.recorder.listen(self._take)

    def _take(self, record: Record) -> None:
        if isinstance(record, Invoked):
            self._open[record.index] = record
            self._clients.add(record.process)
        elif isinstance(record, Completed) and (begun := self._open.pop(record.index, None)) is not None:
            answered = record.outcome is Outcome.OK or record.errors[-1:] == (REFUSED,)
            self._ended.append(_Ended(record.at, begun.process, record.at - begun.at, answered, record.errors))

    def forget(self) -> None:
        """Look back no further than now: what comes is after an incident began, or after a remedy."""
        self._ended.clear()

    def read(self, asked: App) -> float | None:
        """Return a figure as `lab.runbook.forms.SIGNALS` describes it; None while nothing can be said."""
        since = self._live.recorder.now() - WINDOW
        while self._ended and self._ended[0].at < since:
            self._ended.popleft()
        if asked.signal == "errors":
            return self._count(lambda kind, _where: kind == asked.label)
        return _READ[asked.signal](self)

    def summary(self) -> str:
        """Return the figures in one line."""
        rate = self.read(App("error-rate"))
        return (
            f"not done {'?' if rate is None else f'{rate:.0f}%'}   p99 {self.p99():.2f} s   "
            f"served {self.served():.0f}% of clients   retries {self.retries():.2f} an operation   "
            f"pool {self.pool_in_use():.0f} in use"
        )

    def complaints(self) -> str:
        """Return what the failed attempts of the last seconds met, the most frequent first."""
        counts: dict[str, int] = {}
        for one in self._ended:
            for label in one.errors:
                counts[label] = counts.get(label, 0) + 1
        ordered = sorted(counts.items(), key=lambda item: -item[1])[:5]
        return ", ".join(f"{count} x {label}" for label, count in ordered)

    def _ages(self) -> Iterator[float]:
        now = self._live.recorder.now()
        return (now - begun.at for begun in self._open.values())

    def _count(self, wanted: Callable[[str, str], bool]) -> float:
        labels = (label.partition(" at ") for one in self._ended for label in one.errors)
        return float(sum(wanted(kind, where) for kind, _, where in labels))

    def _per_operation(self, count: float) -> float:
        return count / max(1, len(self._ended))

    def error_rate(self) -> float | None:
        """Percent of the operations that were not done, with those that wait too long."""
        stuck = sum(age > PATIENT for age in self._ages())
        failed = stuck + sum(not one.answered for one in self._ended)
        total = stuck + len(self._ended)
        return 100.0 * failed / total if total else None

    def p99(self) -> float:
        """Seconds, with those that still wait."""
        times = sorted([*(one.seconds for one in self._ended), *self._ages()])
        return percentile(times, 0.99) if times else 0.0

    def served(self) -> float:
        """Percent of the clients."""
        happy = {one.client for one in self._ended if one.answered}
        return 100.0 * len(happy) / max(1, len(self._clients))

    def retries(self) -> float:
        """Failed attempts for an operation."""
        return self._per_operation(self._count(lambda kind, _where: kind != REFUSED))

    def conflicts(self) -> float:
        """Conflicts for an operation."""
        return self._per_operation(self._count(lambda kind, _where: kind in CONFLICTS))

    def in_doubt(self) -> float:
        """Lost answers to COMMIT."""
        return self._count(lambda kind, where: where == "COMMIT" and kind not in CONFLICTS)

    def pool_in_use(self) -> float:
        """Connections that are lent out."""
        return float(cast("QueuePool", self._live.engine.pool).checkedout())


_READ: Final[dict[str, Callable[[Watch], float | None]]] = {
    "error-rate": Watch.error_rate,
    "p99": Watch.p99,
    "served": Watch.served,
    "retries": Watch.retries,
    "conflicts": Watch.conflicts,
    "in-doubt": Watch.in_doubt,
    "pool-in-use": Watch.pool_in_use,
}
