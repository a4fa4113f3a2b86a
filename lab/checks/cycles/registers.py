"""Read-write registers: who read whose value, what can be said of the order of versions, and what is wrong at once.

After Elle (see `appends`), where a read tells one value only: the initial state comes first, and what a transaction
writes after reading a key comes after what it read. Nothing else is assumed about the order of versions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lab.checks.cycles.append_anomalies import pairs, same_version
from lab.checks.cycles.appends import MOST_PAIRS, TooMany, writes_of
from lab.checks.cycles.columns import FAIL, OK, READ, WRITE, Flags, Ints, Transactions
from lab.checks.cycles.edges import RW, WR, WW, Edges, edges, joined, ordered_in_time, ranges
from lab.checks.cycles.repeated import Repeated, repeated
from lab.checks.cycles.words import Micro, Pairs, tell
from lab.verdict import Anomaly

INITIAL, UNKNOWN = -1, -2
"""Versions that no write on record has made: the state before all, and what is not known. Values that nobody on record
has written, as those a register held before the history began, are versions below these, each with a number of its own.
"""


@dataclass(frozen=True)
class Registers:
    """*reads* that are on record, and the *version* of each: the micro-operation that wrote it, INITIAL or below."""

    transactions: Transactions
    reads: Ints
    version: Ints

    @cached_property
    def version_of(self) -> Ints:
        """The version that each micro-operation read; UNKNOWN for all others."""
        version = np.full(len(self.transactions.key), UNKNOWN)
        version[self.reads] = self.version
        return version

    @cached_property
    def writers(self) -> Ints:
        """The transaction that wrote the version of each read; any at all where that is none on record."""
        return self.transactions.owner[np.maximum(self.version, 0)]

    @cached_property
    def repeated(self) -> Repeated:
        """What transactions that touch a key twice do with it."""
        return repeated(self.transactions)

    @cached_property
    def updates(self) -> tuple[Ints, Ints]:
        """Reads, and the last write of the same transaction to the same key after it: the version that follows."""
        t, r = self.transactions, self.repeated
        first_reads = r.first & (t.kind[r.micro] == READ) & t.known[r.micro] & r.later_write
        last_write = (t.kind[r.micro] == WRITE) & ~r.later_write
        places = np.flatnonzero(first_reads)
        writes = np.flatnonzero(last_write)
        return r.micro[places], r.micro[writes[np.searchsorted(writes, places)]]


def registers_of(transactions: Transactions) -> Registers:
    """Find the write of every value that was read. Raises NotUnique."""
    t = transactions
    reads = np.flatnonzero((t.kind == READ) & t.known)
    version = np.full(len(reads), INITIAL)
    some = t.length[reads] > 0
    wrote = writes_of(t, t.key[reads[some]], t.elements[t.first[reads[some]]])
    nobody = wrote < 0
    wrote[nobody] = _foreign(t, reads[some][nobody])
    version[some] = wrote
    return Registers(t, reads, version)


def _foreign(t: Transactions, reads: Ints) -> Ints:
    """Return a version below UNKNOWN for each value read: the same for the same value of the same key."""
    seen = zip(t.key[reads].tolist(), t.elements[t.first[reads]].tolist(), strict=True)
    numbers: dict[tuple[int, int], int] = {}
    return np.array([UNKNOWN - 1 - numbers.setdefault(version, len(numbers)) for version in seen], np.int64)


def register_edges(g: Registers, *, realtime: bool = False) -> Edges:
    """Return all dependencies of the data that are certain: wr, ww, rw. Raises TooMany.

    *realtime*: a write that had completed before another of its key was invoked made the older version. That is so
    only where the order of real time has to be kept.
    """
    t = g.transactions
    kept = (g.version >= 0) & (t.outcome[g.writers] != FAIL)
    older, newer = _successions(g)
    if realtime:
        older, newer = _with_real_time(g, older, newer)
    known = older >= 0
    later = older != INITIAL  # of which every write is one: see below
    others = g.version != INITIAL
    parts = [
        edges(WR, t.owner[g.version[kept]], t.owner[g.reads[kept]], g.version[kept], g.reads[kept]),
        edges(WW, t.owner[older[known]], t.owner[newer[known]], newer[known], older[known]),
        _missed(g, g.reads[others], g.version[others], older[later], newer[later]),
        _missed(g, *_of_initial(g)),
    ]
    return joined(parts)


def _successions(g: Registers) -> tuple[Ints, Ints]:
    """Return versions and later ones of the same key, by writes that follow reads; none if that makes a circle."""
    t = g.transactions
    read, write = g.updates
    older = g.version_of[read]
    fine = (older != UNKNOWN) & (t.outcome[t.owner[write]] != FAIL) & ~_follow_in_circles(g)[t.key[read]]
    return older[fine], write[fine]


def _follow_in_circles(g: Registers) -> Flags:
    """Tell of each key whether the versions that follow each other by updates make a circle."""
    read, write = g.updates
    return _circular(g, g.version_of[read], write)


def _with_real_time(g: Registers, older: Ints, newer: Ints) -> tuple[Ints, Ints]:
    """Return these successions and those of real time, except for keys where both together make a circle."""
    t = g.transactions
    before, after = _in_real_time(g)
    fine = ~_circular(g, np.concatenate((older, before)), np.concatenate((newer, after)))[t.key[after]]
    return np.concatenate((older, before[fine])), np.concatenate((newer, after[fine]))


def _in_real_time(g: Registers) -> tuple[Ints, Ints]:
    """Return writes and those of the same key that were invoked after their end, transitively reduced."""
    t, r = g.transactions, g.repeated
    last = (t.kind == WRITE) & (t.outcome[t.owner] == OK)
    last[r.micro[(t.kind[r.micro] == WRITE) & r.later_write]] = False
    writes = np.flatnonzero(last)
    writes = writes[np.lexsort((t.begin[t.owner[writes]], t.key[writes]))]
    pairs_found = [ordered_in_time(t, t.owner, own) for own in _by_key(t, writes)]
    none: Ints = np.zeros(0, np.int64)
    if not pairs_found:
        return none, none
    one, other = (np.concatenate(column) for column in zip(*pairs_found, strict=True))
    return one, other


def _by_key(t: Transactions, micros: Ints) -> list[Ints]:
    starts = np.flatnonzero(t.key[micros[1:]] != t.key[micros[:-1]]) + 1
    return [own for own in np.split(micros, starts) if len(own) > 1]


def _circular(g: Registers, older: Ints, newer: Ints) -> Flags:
    """Tell of each key whether these successions of versions make a circle."""
    t = g.transactions
    known = older >= 0
    circular = np.zeros(max(len(t.keys), 1), np.bool_)
    if known.any():
        size = len(t.key)
        graph = coo_array((np.ones(int(known.sum()), np.int8), (older[known], newer[known])), shape=(size, size))
        _, component = connected_components(graph.tocsr(), directed=True, connection="strong")
        many = np.bincount(component)[component] > 1
        circular[t.key[np.flatnonzero(many)]] = True
    return circular


def _of_initial(g: Registers) -> tuple[Ints, Ints, Ints, Ints]:
    """Return the arguments of `_missed` for reads of the initial state: every write of the key comes after it."""
    t = g.transactions
    reads = g.reads[g.version == INITIAL]
    writes = np.flatnonzero((t.kind == WRITE) & (t.outcome[t.owner] != FAIL))
    # The initial states of the keys get numbers of their own: this is no place for other versions.
    return reads, -10 - t.key[reads], -10 - t.key[writes], writes


def _missed(g: Registers, reads: Ints, version: Ints, older: Ints, newer: Ints) -> Edges:
    """Return an edge from each reader of a version to the writer of each that follows it."""
    t = g.transactions
    order = np.argsort(older, kind="stable")
    older, newer = older[order], newer[order]
    start = np.searchsorted(older, version, "left")
    counts = np.searchsorted(older, version, "right") - start
    if int(counts.sum()) > MOST_PAIRS:
        raise TooMany(f"{int(counts.sum()):,} dependencies of readers on later writes")
    write = newer[ranges(start, counts)]
    reader = np.repeat(reads, counts)
    return edges(RW, t.owner[reader], t.owner[write], write, reader)


SENTENCES = {
    "cyclic-versions": "the versions of key {a.key} follow each other in a circle: {a.name} did {a.registers_past}",
    "G1a": "{a.name} read {a.got} from key {a.key}, a write of {b.name}, which was reported failed",
    "G1b": "{a.name} read {a.got} from key {a.key}, a state in the middle of {b.name}, which wrote that key again",
    "internal": "on key {a.key}, {a.name} did: {a.registers_past}",
    "lost-update": "{a.name} and {b.name} both read {a.got} from key {a.key}, and both wrote it",
}


class RegisterAnomalies:
    """What is wrong without a cycle; see `append_anomalies.AppendAnomalies`."""

    def __init__(self, registers: Registers) -> None:
        self._g = registers
        self._t = registers.transactions

    def found(self, most: int) -> Iterator[tuple[str, int, list[Anomaly]]]:
        """Yield (name, how many, *most* of them told) for each kind that there is."""
        rules = {
            "cyclic-versions": self._circular,
            "G1a": self._aborted,
            "G1b": self._intermediate,
            "internal": self._internal,
            "lost-update": self._lost_updates,
        }
        return tell(self._t, {name: rule() for name, rule in rules.items()}, SENTENCES, most)

    def invented(self) -> list[str]:
        """Say which values were read that no operation on record has written."""
        reads = self._g.reads[self._g.version < UNKNOWN]
        said = (f"{m.got} in key {m.key}" for m in (Micro(self._t, read) for read in reads.tolist()))
        return list(dict.fromkeys(said))

    def _circular(self) -> Pairs:
        read, _ = self._g.updates
        chosen = read[_follow_in_circles(self._g)[self._t.key[read]]]
        return pairs(chosen, chosen)

    def _aborted(self) -> Pairs:
        g, t = self._g, self._t
        bad = (g.version >= 0) & (t.outcome[g.writers] == FAIL)
        return pairs(g.reads[bad], g.version[bad])

    def _intermediate(self) -> Pairs:
        g, t, r = self._g, self._t, self._g.repeated
        overwritten = np.zeros(len(t.key), np.bool_)
        overwritten[r.micro[(t.kind[r.micro] == WRITE) & r.later_write]] = True
        bad = (g.version >= 0) & overwritten[np.maximum(g.version, 0)] & (g.writers != t.owner[g.reads])
        return pairs(g.reads[bad], g.version[bad])

    def _internal(self) -> Pairs:
        t, r = self._t, self._g.repeated
        before = r.micro[np.maximum(np.arange(len(r.micro)) - 1, 0)]
        reads = ~r.first & (t.kind[r.micro] == READ) & t.known[r.micro]
        there, expected = self._state_after(before)
        read_something, value = self._state_after(r.micro)
        differs = (there != read_something) | (there & (value != expected))
        sure = (t.kind[before] == WRITE) | t.known[before]
        bad = r.micro[reads & sure & differs]
        return pairs(bad, bad)

    def _state_after(self, micros: Ints) -> tuple[Flags, Ints]:
        """Return whether the key has a value after each micro-operation, and which one."""
        t = self._t
        read = np.append(t.elements, 0)[np.where(t.length[micros] > 0, t.first[micros], -1)]
        wrote = t.kind[micros] == WRITE
        return wrote | (t.length[micros] > 0), np.where(wrote, t.value[micros], read)

    def _lost_updates(self) -> Pairs:
        t = self._t
        read, _ = self._g.updates
        version = self._g.version_of[read]
        sure = (t.outcome[t.owner[read]] == OK) & (version != UNKNOWN)
        return same_version(read[sure], t.key[read[sure]], version[sure])
