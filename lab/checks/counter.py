"""A counter stays between what was certainly added and what may have been."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import NamedTuple, TypeGuard

from lab.checks._reading import Tally, unread
from lab.checks.set_kept import ended
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


def counter(*, at_least: int = 0) -> Check:
    """Every read lies between what must have been added to 0 when it began, and what may have been when it ended.

    An acknowledged add that ended before a read began counts in full. Any other that began before the read ended and
    did not fail may count or not, for ever if its outcome is unknown: above zero it raises the upper bound, below zero
    it lowers the lower one. Source: Jepsen's `counter` checker, which allows no negative adds. As there, no read means
    that nothing contradicts the adds; a run that is to show something asks for *at_least* so many ok reads. O(n log n).
    """

    def judge(history: History) -> Judgement:
        adds = [add for add in history.of_kind("add") if add.outcome is not Outcome.FAIL]
        reads = [read for read in history.of_kind("read") if read.outcome is Outcome.OK]
        counted = [read for read in reads if _whole(read.result)]
        unreadable = len(reads) - len(counted) + sum(not _whole(add.value) for add in adds)
        bounds = _bounds([add for add in adds if _whole(add.value)])
        tally = Tally()
        for read in counted:
            tally.add("out-of-bounds", *_outside(read, bounds))
        says = f"{len(counted):,} reads lie within the bounds of {len(adds):,} adds"
        says = says if counted else f"nothing was read, so nothing contradicts {len(adds):,} adds"
        return tally.judgement(says, [*_doubts(adds, counted, at_least), *unread(unreadable)])

    return Check("counter", "every read lies between what was added and what may have been", judge)


def _doubts(adds: list[Operation], reads: list[Operation], at_least: int) -> Iterator[str]:
    if not adds and not reads:
        yield "nothing was added or read"
    if len(reads) < at_least:
        yield f"{len(reads)} ok reads, at least {at_least} are needed"


def _whole(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


class _Sums(NamedTuple):
    """Times in order, and the sums of all amounts above and below zero up to each, from 0."""

    times: list[float]
    above: list[int]
    below: list[int]

    @classmethod
    def of(cls, amounts: Iterable[tuple[float, int]]) -> _Sums:
        ordered = sorted(amounts)
        above = list(accumulate((max(amount, 0) for _, amount in ordered), initial=0))
        below = list(accumulate((min(amount, 0) for _, amount in ordered), initial=0))
        return cls([time for time, _ in ordered], above, below)


class _Bounds(NamedTuple):
    certain: _Sums
    possible: _Sums

    def at(self, read: Operation) -> tuple[int, int]:
        done = bisect_left(self.certain.times, read.invoked)
        begun = bisect_right(self.possible.times, ended(read))
        lower = self.certain.above[done] + self.possible.below[begun]
        return lower, self.certain.below[done] + self.possible.above[begun]


def _bounds(adds: list[Operation]) -> _Bounds:
    amounts = [(add, add.value) for add in adds if _whole(add.value)]
    certain = _Sums.of((ended(add), amount) for add, amount in amounts if add.outcome is Outcome.OK)
    return _Bounds(certain, _Sums.of((add.invoked, amount) for add, amount in amounts))


def _outside(read: Operation, bounds: _Bounds) -> tuple[int, Iterable[Anomaly]]:
    lower, upper = bounds.at(read)
    if not _whole(read.result) or lower <= read.result <= upper:
        return 0, ()
    if read.result < lower:
        bound = f"at least {lower}: that much was acknowledged before it began"
    else:
        bound = f"at most {upper}: no more was asked for before it ended"
    why = f"operation {read.index} reads {read.result}, and must read {bound}"
    return 1, [Anomaly("out-of-bounds", (read.index,), why)]
