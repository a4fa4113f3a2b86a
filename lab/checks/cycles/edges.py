"""Dependencies between transactions, as columns; the evidence of each can be looked up later."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab.checks.cycles.columns import OK, Ints, Transactions

WW, WR, RW, PROCESS, REALTIME = range(5)
KIND_NAMES = ("ww", "wr", "rw", "process", "realtime")


@dataclass(frozen=True, slots=True)
class Edges:
    """*source* before *target* (transactions), by *kind*; *write* and *read* are the micro-operations that show it.

    ww: *read* is the earlier write, -1 if the order is known otherwise. wr: the write that was read. rw: the write
    that was not seen. process and realtime edges need no evidence (-1).
    """

    source: Ints
    target: Ints
    kind: NDArray[np.int8]
    write: Ints
    read: Ints

    def __len__(self) -> int:
        return len(self.source)

    def where(self, chosen: NDArray[np.bool_] | Ints) -> Edges:
        """Return the chosen edges."""
        return Edges(self.source[chosen], self.target[chosen], self.kind[chosen], self.write[chosen], self.read[chosen])

    def of_kinds(self, kinds: Iterable[int]) -> Edges:
        """Return the edges of these kinds."""
        return self.where(np.isin(self.kind, tuple(kinds)))


def edges(kind: int, source: Ints, target: Ints, write: Ints | None = None, read: Ints | None = None) -> Edges:
    """Return edges of one kind, without those from a transaction to itself."""
    kinds = np.full(len(source), kind, np.int8)
    shown = [np.full(len(source), -1) if column is None else column for column in (write, read)]
    others = source != target
    return Edges(_half(source[others]), _half(target[others]), kinds[others], *(_half(c[others]) for c in shown))


def _half(places: NDArray[Any]) -> NDArray[Any]:
    """Return places in half the memory: there are never so many."""
    return places.astype(np.int32)


def joined(parts: Iterable[Edges]) -> Edges:
    """Return all edges of several sets."""
    rows = [(part.source, part.target, part.kind, part.write, part.read) for part in parts]
    return Edges(*map(np.concatenate, zip(*rows, strict=True)))


def process_edges(transactions: Transactions) -> Edges:
    """Return edges between consecutive transactions of a process that are certainly done."""
    done = np.flatnonzero(transactions.outcome == OK)
    ordered = done[np.lexsort((transactions.begin[done], transactions.process[done]))]
    same = transactions.process[ordered[1:]] == transactions.process[ordered[:-1]]
    return edges(PROCESS, ordered[:-1][same], ordered[1:][same])


def realtime_edges(transactions: Transactions, among: Ints) -> Edges:
    """Return the transitively reduced real-time order *among* some transactions."""
    ordered = among[np.argsort(transactions.begin[among], kind="stable")]
    return edges(REALTIME, *ordered_in_time(transactions, np.arange(len(transactions)), ordered))


def ordered_in_time(transactions: Transactions, owner: Ints, ordered: Ints) -> tuple[Ints, Ints]:
    """Return (before, after) among things of transactions (*owner* by thing), given in order of invocation, reduced.

    A has to come before B if it had completed before B was invoked. That follows from others if C lies between them: so
    from A it is enough to go to those that were invoked before the first completion of what was invoked after A. In
    order of invocation these are a range.
    """
    begins, ends = transactions.begin[owner[ordered]], transactions.end[owner[ordered]]
    first_end = np.append(np.minimum.accumulate(ends[::-1])[::-1], np.inf)
    certain = transactions.outcome[owner[ordered]] == OK
    done, ends = ordered[certain], ends[certain]
    start = np.searchsorted(begins, ends, "right")
    stop = np.searchsorted(begins, first_end[start], "right")
    counts = np.maximum(stop - start, 0)
    return np.repeat(done, counts), ordered[ranges(start, counts)]


def realtime_closure(transactions: Transactions, among: Ints) -> Edges:
    """Return the whole real-time order *among* a few transactions: quadratic, but each dependency is one step."""
    ordered = among[np.argsort(transactions.begin[among], kind="stable")]
    done = ordered[transactions.outcome[ordered] == OK]
    start = np.searchsorted(transactions.begin[ordered], transactions.end[done], "right")
    counts = len(ordered) - start
    return edges(REALTIME, np.repeat(done, counts), ordered[ranges(start, counts)])


def realtime_chain(transactions: Transactions) -> tuple[Ints, Ints, int]:
    """Return the real-time order as (sources, targets, number of additional nodes), three edges a transaction.

    The additional nodes are the completions, in order: a transaction leads to its own, each to the next, and the last
    one before an invocation to what was invoked. Paths are those of the real-time order, so cycles are as well.
    """
    n = len(transactions)
    done = np.flatnonzero(transactions.outcome == OK)
    done = done[np.argsort(transactions.end[done], kind="stable")]
    completions = np.arange(n, n + len(done))
    before = np.searchsorted(transactions.end[done], transactions.begin, "left") - 1
    after = np.flatnonzero(before >= 0)
    source = np.concatenate((done, completions[:-1], completions[before[after]]))
    target = np.concatenate((completions, completions[1:], after))
    return source, target, len(done)


def ranges(start: Ints, counts: Ints) -> Ints:
    """Return start[0], start[0] + 1, ... (counts[0] of them), then the same from start[1], and so on."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    places: Ints = np.arange(total) + np.repeat(start - (ends - counts), counts)
    return places
