"""List-append: the order of versions, dependencies, and what is wrong without any cycle.

After Kingsbury and Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 2020: every read
of a list tells the whole order of the appends before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lab.checks.cycles.columns import FAIL, READ, WRITE, Flags, Ints, Transactions
from lab.checks.cycles.edges import RW, WR, WW, Edges, edges, joined, ranges

MOST_PAIRS = 20_000_000
"""Dependencies between readers of a last version and appends that nobody has read; more would not fit into memory."""

CHUNK = 1_000_000
"""Elements that are compared at once."""


class TooMany(ValueError):
    """More dependencies than memory is granted."""


class NotUnique(ValueError):
    """A value was written twice to one key, so nobody can say whose a read is; the message names both."""


@dataclass(frozen=True)
class Appends:
    """The version order of every key: its longest read. *slots* of all keys lie one after the other.

    Slots of key k are `start[k]:start[k] + size[k]`; *element* is the value in each, *append* the micro-operation that
    appended it (-1: nobody did). *reads* are the micro-operations whose reading is on record and fits the order; *odd*
    those that do not fit. *longest* is, by key, the read that the order was taken from (-1: none).
    """

    transactions: Transactions
    start: Ints
    size: Ints
    element: Ints
    append: Ints
    reads: Ints
    odd: Ints
    longest: Ints

    @cached_property
    def slot(self) -> Ints:
        """The slot of each append, by micro-operation; -1 where nobody has read it."""
        slot = np.full(len(self.transactions.key), -1)
        known = np.flatnonzero(self.append >= 0)
        slot[self.append[known]] = known
        return slot

    @cached_property
    def slot_key(self) -> Ints:
        """The key of each slot."""
        return np.repeat(np.arange(len(self.size)), self.size)

    @cached_property
    def writer(self) -> Ints:
        """The transaction that filled each slot; -1 where nobody did."""
        return np.where(self.append >= 0, self.transactions.owner[self.append], -1)

    @cached_property
    def committed(self) -> Flags:
        """Which slots were filled by a transaction that did not certainly fail."""
        committed: Flags = (self.append >= 0) & (self.transactions.outcome[self.writer] != FAIL)
        return committed

    @cached_property
    def unread(self) -> Ints:
        """Appends, of transactions that did not certainly fail, that nobody has read."""
        t = self.transactions
        return np.flatnonzero((t.kind == WRITE) & (self.slot < 0) & (t.outcome[t.owner] != FAIL))


def appends_of(transactions: Transactions) -> Appends:
    """Infer the order of versions of every key. Raises NotUnique."""
    t = transactions
    reads = np.flatnonzero((t.kind == READ) & t.known)
    size = np.zeros(len(t.keys), np.int64)
    np.maximum.at(size, t.key[reads], t.length[reads])
    longest = np.full(len(t.keys), -1)
    candidates = reads[t.length[reads] == size[t.key[reads]]]
    longest[t.key[candidates[::-1]]] = candidates[::-1]  # the first of the longest
    start = np.cumsum(size) - size
    element = t.elements[ranges(np.where(longest >= 0, t.first[longest], 0), size)]
    fits = _fits(t, reads, start, element)
    append = writes_of(t, np.repeat(np.arange(len(size)), size), element)
    return Appends(t, start, size, element, append, reads[fits], reads[~fits], longest)


def _fits(t: Transactions, reads: Ints, start: Ints, element: Ints) -> Flags:
    """Tell of each read whether it is a prefix of the order of its key."""
    fits = np.ones(len(reads), np.bool_)
    ends = np.cumsum(t.length[reads])
    number = 0
    while number < len(reads):
        done = int(ends[number - 1]) if number else 0
        until = max(int(np.searchsorted(ends, done + CHUNK)), number + 1)
        part = reads[number:until]
        counts = t.length[part]
        same = t.elements[ranges(t.first[part], counts)] == element[ranges(start[t.key[part]], counts)]
        if not same.all():
            fits[number + np.repeat(np.arange(len(part)), counts)[~same]] = False
        number = until
    return fits


def writes_of(t: Transactions, key: Ints, element: Ints) -> Ints:
    """Return the micro-operation that wrote each of these elements to its key, or -1."""
    writes = np.flatnonzero(t.kind == WRITE)
    element, key = element.astype(np.int64), key.astype(np.int64)
    if not len(writes):
        return np.full(len(element), -1)
    low, high = int(t.value[writes].min()), int(t.value[writes].max())
    if (high - low + 1) * (len(t.keys) + 1) < 2**62:
        span = high - low + 1
        code = t.key[writes].astype(np.int64) * span + (t.value[writes].astype(np.int64) - low)
        sought = np.where((element >= low) & (element <= high), key * span + (element - low), -1)
    else:
        ranks, place = np.unique(np.concatenate((t.value[writes], element)), return_inverse=True)
        code = t.key[writes].astype(np.int64) * len(ranks) + place[: len(writes)]
        sought = key * len(ranks) + place[len(writes) :]
    order = np.argsort(code, kind="stable")
    code = code[order]
    twice = np.flatnonzero(code[1:] == code[:-1])
    if len(twice):
        raise NotUnique(_twice(t, int(writes[order[twice[0]]]), int(writes[order[twice[0] + 1]])))
    place = np.minimum(np.searchsorted(code, sought), len(code) - 1)
    return np.where(code[place] == sought, writes[order[place]], -1)


def _twice(t: Transactions, one: int, other: int) -> str:
    first, second = (int(t.index[t.owner[micro]]) for micro in (one, other))
    return f"operations {first} and {second} both write {t.said(int(t.value[one]))} to key {t.keys[int(t.key[one])]!r}"


def append_edges(a: Appends) -> Edges:
    """Return all dependencies of the data: ww, wr, rw. Raises TooMany."""
    t = a.transactions
    kept = np.flatnonzero(a.committed)
    follows = a.slot_key[kept[1:]] == a.slot_key[kept[:-1]]
    before, after = kept[:-1][follows], kept[1:][follows]
    # By slot: the last kept one up to it, and the first kept one after it, if they are of the same key.
    upto = np.append(np.maximum.accumulate(np.where(a.committed, np.arange(len(a.committed)), -1)), -1)
    beyond = np.append(kept, -1)[np.searchsorted(kept, np.arange(len(a.committed) + 1), "left")]
    read_slot = a.start[t.key[a.reads]] + t.length[a.reads] - 1
    seen, reader = _same_key(a, a.reads, np.where(t.length[a.reads] > 0, upto[read_slot], -1))
    next_slot = np.minimum(read_slot + 1, len(a.committed))
    missed, misser = _same_key(a, a.reads, beyond[next_slot])
    none_missed = np.ones(len(t.key), np.bool_)
    none_missed[misser] = False
    last_reads = a.reads[none_missed[a.reads]]
    return joined(
        (
            edges(WW, a.writer[before], a.writer[after], a.append[after], a.append[before]),
            edges(WR, a.writer[seen], t.owner[reader], a.append[seen], reader),
            edges(RW, t.owner[misser], a.writer[missed], a.append[missed], misser),
            *_towards_unread(a, kept, last_reads),
        )
    )


def _same_key(a: Appends, reads: Ints, slots: Ints) -> tuple[Ints, Ints]:
    """Return the slots that are of the key of their read, and those reads."""
    fine = (slots >= 0) & (np.append(a.slot_key, -1)[slots] == a.transactions.key[reads])
    return slots[fine], reads[fine]


def _towards_unread(a: Appends, kept: Ints, last_reads: Ints) -> list[Edges]:
    """An append that nobody has read comes after the last one that was, and after all who have not seen it."""
    t = a.transactions
    unread = a.unread[np.argsort(t.key[a.unread], kind="stable")]
    last = np.full(len(t.keys), -1)
    last[a.slot_key[kept]] = kept
    written = unread[last[t.key[unread]] >= 0]
    slots = last[t.key[written]]
    counts = np.bincount(t.key[unread], minlength=len(t.keys))
    first = np.cumsum(counts) - counts
    each = counts[t.key[last_reads]]
    if int(each.sum()) > MOST_PAIRS:
        raise TooMany(f"{int(each.sum()):,} dependencies of appends that nobody has read; read every key in the end")
    target = unread[ranges(first[t.key[last_reads]], each)]
    reader = np.repeat(last_reads, each)
    return [
        edges(WW, a.writer[slots], t.owner[written], written, a.append[slots]),
        edges(RW, t.owner[reader], t.owner[target], target, reader),
    ]
