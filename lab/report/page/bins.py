"""Operations over time in a bounded number of bins, however many there are: counts by outcome, percentiles of latency.

Latencies are counted in buckets whose bounds grow by a constant factor, as in HdrHistogram (Gil Tene), so that bins can
be filled while a run goes on and put together in pairs when there are too many.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

from lab.history import Operation, Outcome

MOST_BINS = 480
"""Bins of a timeline; when time outgrows them, each takes in its neighbour."""

FIRST_WIDTH = 0.025
"""Seconds of a bin at first."""

SHORTEST, LONGEST, GROWTH = 20e-6, 4000.0, 1.04
"""Seconds of the first and the last bucket, and how much longer each is than the one before: answers are 2% right."""

BUCKETS = math.ceil(math.log(LONGEST / SHORTEST) / math.log(GROWTH)) + 1
OUTCOMES = (Outcome.OK, Outcome.FAIL, Outcome.INFO)
NUMBER = {outcome: number for number, outcome in enumerate(OUTCOMES)}

Numbers = list[float | None]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A value for each bin: its middle *at* (seconds), operations per second by outcome, p50 and p99 in seconds.

    *width* is that of a bin, *last* the time of the last operation. Percentiles are those of ok operations that ended
    in the bin, None where none did.
    """

    width: float
    at: list[float]
    ok: list[float]
    fail: list[float]
    info: list[float]
    p50: Numbers
    p99: Numbers
    last: float = 0.0


class Bins:
    """Counts of operations by the time when they ended, or began if they never did."""

    def __init__(self, most: int = MOST_BINS, width: float = FIRST_WIDTH) -> None:
        self.width = width
        self._most = most
        self._used = 0
        self._last = 0.0
        self._outcomes = np.zeros((most, len(OUTCOMES)), np.int64)
        self._latencies = np.zeros((most, BUCKETS), np.int64)

    def add(self, operations: Sequence[Operation]) -> None:
        """Count operations."""
        if not operations:
            return
        invoked = np.fromiter(map(attrgetter("invoked"), operations), np.float64, len(operations))
        completed = np.array([o.completed for o in operations], np.float64)  # not a number where there is none
        outcomes = np.fromiter(
            map(NUMBER.__getitem__, map(attrgetter("outcome"), operations)), np.int64, len(operations)
        )
        seconds = completed - invoked
        ended = np.where(np.isnan(completed), invoked, completed)
        self._last = max(self._last, float(ended.max()))
        self._make_room(self._last)
        place = np.maximum(ended / self.width, 0).astype(np.int64)
        np.add.at(self._outcomes, (place, outcomes), 1)
        done = (outcomes == NUMBER[Outcome.OK]) & np.isfinite(seconds)
        np.add.at(self._latencies, (place[done], _buckets(seconds[done])), 1)
        self._used = max(self._used, int(place.max()) + 1)

    @property
    def count(self) -> int:
        """How many operations were counted."""
        return int(self._outcomes.sum())

    def counted(self, outcome: Outcome) -> int:
        """Return how many operations had an outcome."""
        return int(self._outcomes[:, NUMBER[outcome]].sum())

    def percentile(self, share: float) -> float | None:
        """Return the percentile of all latencies of ok operations, in seconds; None if there are none."""
        return _percentiles(self._latencies.sum(axis=0, keepdims=True), share)[0]

    def _make_room(self, until: float) -> None:
        while until / self.width >= self._most:
            self.width *= 2
            self._outcomes = _halved(self._outcomes)
            self._latencies = _halved(self._latencies)
            self._used = -(-self._used // 2)

    def timeline(self, most: int = MOST_BINS) -> Timeline:
        """Return what was counted, in *most* bins at the most; each may be several of ours."""
        together = max(1, -(-self._used // most))
        outcomes, latencies = self._outcomes[: self._used], self._latencies[: self._used]
        starts = np.arange(0, self._used, together)
        if together > 1:
            outcomes, latencies = (np.add.reduceat(counts, starts, axis=0) for counts in (outcomes, latencies))
        width = self.width * together
        rates = np.round(outcomes / width, 2)
        ok, fail, info = (rates[:, number].tolist() for number in range(len(OUTCOMES)))
        at = np.round((np.arange(len(outcomes)) + 0.5) * width, 4).tolist()
        p50, p99 = (_percentiles(latencies, share) for share in (0.50, 0.99))
        return Timeline(width, at, ok, fail, info, p50, p99, self._last)


def _buckets(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    exact = np.log(np.maximum(seconds, SHORTEST) / SHORTEST) / math.log(GROWTH)
    return np.minimum(exact, BUCKETS - 1).astype(np.int64)


def _halved(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    pairs = counts if len(counts) % 2 == 0 else np.vstack([counts, np.zeros_like(counts[:1])])
    merged = np.zeros_like(counts)
    merged[: len(pairs) // 2] = pairs[0::2] + pairs[1::2]
    return merged


def _percentiles(latencies: NDArray[np.int64], share: float) -> Numbers:
    """Return the nearest-rank percentile of each bin, as the middle of its bucket."""
    upto = np.cumsum(latencies, axis=1, dtype=np.int64)
    ranks = np.maximum(np.ceil(np.round(upto[:, -1] * share, 9)), 1)
    bucket = (upto >= ranks[:, None]).argmax(axis=1)
    middle = SHORTEST * GROWTH ** (bucket + 0.5)
    return [float(f"{value:.4g}") if any_ else None for value, any_ in zip(middle, upto[:, -1] > 0, strict=True)]
