"""What is wrong with a list-append history without any cycle: reads of what was never committed, of what cannot be.

Each rule is one expression over all micro-operations; sentences are made only for the first that it finds.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property

import numpy as np

from lab.checks.cycles.appends import Appends
from lab.checks.cycles.columns import FAIL, OK, READ, WRITE, Flags, Ints
from lab.checks.cycles.repeated import Repeated, repeated
from lab.checks.cycles.words import Micro, Pairs, tell
from lab.verdict import Anomaly

SENTENCES = {
    "incompatible-order": "{a.name} read key {a.key} as {a.list}, and {b.name} as {b.list}: neither is a prefix of the "
    "other, so the appends have no one order",
    "incompatible-order (own)": "{b.name} appended {a.value} and then {b.value} to key {b.key}, where they are in the "
    "other order",
    "duplicate-elements": "{a.name} read key {a.key} as {a.list}, where {b.value} was applied more than once, though "
    "{b.name} appended it once",
    "G1a": "{a.name} read key {a.key} as {a.list}, with {b.value} of {b.name}, which was reported failed",
    "G1b": "{a.name} read key {a.key} as {a.list}, up to {b.value}, a state in the middle of {b.name}, which appended "
    "more to that key",
    "dirty-update": "{a.name} appended {a.value} to key {a.key} on top of {b.value} of {b.name}, "
    "which was reported failed",
    "internal": "on key {a.key}, {a.name} did: {a.lists_past}",
    "future-read": "{a.name} read key {a.key} as {a.list}, with {b.value}, which it appended only afterwards",
    "lost-update": "{a.name} and {b.name} both read key {a.key} as {a.list}, and both appended to it",
}


class AppendAnomalies:
    """Finds them."""

    def __init__(self, appends: Appends) -> None:
        self._a = appends
        self._t = appends.transactions

    def found(self, most: int) -> Iterator[tuple[str, int, list[Anomaly]]]:
        """Yield (name, how many, *most* of them told) for each kind that there is."""
        rules = {
            "incompatible-order": self._incompatible,
            "incompatible-order (own)": self._reordered,
            "duplicate-elements": self._duplicates,
            "G1a": self._aborted,
            "G1b": self._intermediate,
            "dirty-update": self._dirty,
            "internal": self._internal,
            "future-read": self._future,
            "lost-update": self._lost_updates,
        }
        return tell(self._t, {name: rule() for name, rule in rules.items()}, SENTENCES, most)

    def invented(self) -> list[str]:
        """Say which values were read that no operation on record has written."""
        a, t = self._a, self._t
        keys = (str(t.keys[key]) for key in a.slot_key[a.append < 0].tolist())
        ordered = zip(keys, a.element[a.append < 0].tolist(), strict=True)
        odd = ((str(t.keys[int(t.key[read])]), value) for read, value, writer in self._odd_elements if writer < 0)
        return [f"{t.said(value)} in key {key}" for key, value in dict.fromkeys((*ordered, *odd))]

    @cached_property
    def _repeated(self) -> Repeated:
        return repeated(self._t)

    @cached_property
    def _odd_elements(self) -> list[tuple[int, int, int]]:
        """(read, value, who appended it or -1) for all elements of reads that do not fit."""
        t = self._t
        if not len(self._a.odd):
            return []
        writes = np.flatnonzero(t.kind == WRITE)
        of = dict(zip(zip(t.key[writes].tolist(), t.value[writes].tolist(), strict=True), writes.tolist(), strict=True))
        reads = [(read, int(t.key[read])) for read in self._a.odd.tolist()]
        return [(read, value, of.get((key, value), -1)) for read, key in reads for value in t.read(read).tolist()]

    def _incompatible(self) -> Pairs:
        odd = self._a.odd
        return pairs(odd, self._a.longest[self._t.key[odd]])

    def _reordered(self) -> Pairs:
        a, r = self._a, self._repeated
        before = r.micro[r.last_write]
        made = (r.last_write >= 0) & (a.slot[r.micro] >= 0) & (self._t.kind[r.micro] == WRITE)
        bad = made & (a.slot[before] > a.slot[r.micro])
        return pairs(before[bad], r.micro[bad])

    def _duplicates(self) -> Pairs:
        known = self._a.append[self._a.append >= 0]
        doubled = np.flatnonzero(np.bincount(known) > 1)
        return pairs(self._a.longest[self._t.key[doubled]], doubled)

    @cached_property
    def _failed(self) -> Flags:
        """Slots that were filled by a transaction that was reported failed."""
        a = self._a
        failed: Flags = (a.append >= 0) & (self._t.outcome[a.writer] == FAIL)
        return failed

    def _aborted(self) -> Pairs:
        a, t = self._a, self._t
        slots = np.flatnonzero(self._failed)
        odd = [
            (read, writer)
            for read, _, writer in self._odd_elements
            if writer >= 0 and t.outcome[t.owner[writer]] == FAIL and a.slot[writer] < 0
        ]
        ordered = ((self._reader_of(slot), int(a.append[slot])) for slot in slots.tolist())
        return len(slots) + len(odd), (pair for pairs in (ordered, odd) for pair in pairs)

    def _reader_of(self, slot: int) -> int:
        """Return the first read that holds a slot."""
        a, t = self._a, self._t
        key = a.slot_key[slot]
        holds = (t.key[a.reads] == key) & (a.start[key] + t.length[a.reads] > slot)
        return int(a.reads[np.flatnonzero(holds)[0]])

    def _intermediate(self) -> Pairs:
        a, t, r = self._a, self._t, self._repeated
        overwritten = np.zeros(len(t.key), np.bool_)
        overwritten[r.micro[(t.kind[r.micro] == WRITE) & r.later_write]] = True
        reads = a.reads[t.length[a.reads] > 0]
        last = a.append[a.start[t.key[reads]] + t.length[reads] - 1]
        bad = (last >= 0) & overwritten[last] & (t.owner[last] != t.owner[reads])
        return pairs(reads[bad], last[bad])

    def _dirty(self) -> Pairs:
        a = self._a
        bad, good = self._failed[:-1], a.committed[1:]
        slots = np.flatnonzero(bad & good & (a.slot_key[1:] == a.slot_key[:-1]))
        return pairs(a.append[slots + 1], a.append[slots])

    def _internal(self) -> Pairs:
        a, t, r = self._a, self._t, self._repeated
        odd = np.isin(r.micro, a.odd)
        grows = (r.last_read >= 0) & (t.kind[r.micro] == READ) & t.known[r.micro] & ~odd & ~odd[r.last_read]
        between = r.writes - r.writes[r.last_read]
        wrong_read = grows & (t.length[r.micro] != t.length[r.micro[r.last_read]] + between)
        seen = (r.next_read >= 0) & (t.kind[r.micro] == WRITE) & ~odd[r.next_read]
        after = r.micro[r.next_read]
        place = a.start[t.key[after]] + t.length[after] - 1 - (r.writes[r.next_read] - r.writes)
        wrong_append = seen & ((a.slot[r.micro] != place) | (a.slot[r.micro] < 0))
        strange = np.array([read for read in r.micro[odd].tolist() if not self._sees_its_past(read)], np.int64)
        reads = np.unique(np.concatenate((r.micro[wrong_read], after[wrong_append], strange)))
        return pairs(reads, reads)

    def _sees_its_past(self, read: int) -> bool:
        """Tell whether a read that fits no order goes on from the transaction's own last read and appends."""
        t = self._t
        known: list[int] | None = None
        own: list[int] = []
        for micro in Micro(t, read).beside:
            if micro.place >= read:
                break
            if micro.writes:
                own.append(int(t.value[micro.place]))
            elif micro.told:
                known, own = t.read(micro.place).tolist(), []
        saw: list[int] = t.read(read).tolist()
        return saw == known + own if known is not None else saw[max(0, len(saw) - len(own)) :] == own

    def _future(self) -> Pairs:
        a, t, r = self._a, self._t, self._repeated
        before = r.micro[r.last_read]
        made = (r.last_read >= 0) & (t.kind[r.micro] == WRITE) & (a.slot[r.micro] >= 0) & ~np.isin(before, a.odd)
        bad = made & (a.slot[r.micro] < a.start[t.key[before]] + t.length[before])
        return pairs(before[bad], r.micro[bad])

    def _lost_updates(self) -> Pairs:
        t, r = self._t, self._repeated
        sure = r.first & r.later_write & t.known[r.micro] & (t.outcome[t.owner[r.micro]] == OK)
        reads = r.micro[sure & ~np.isin(r.micro, self._a.odd)]
        return same_version(reads, t.key[reads], t.length[reads])


def same_version(reads: Ints, key: Ints, version: Ints) -> Pairs:
    """Return the reads of updates that follow one and the same version of their key, each with the next."""
    order = np.lexsort((version, key))
    reads, key, version = reads[order], key[order], version[order]
    same = (key[1:] == key[:-1]) & (version[1:] == version[:-1])
    return pairs(reads[:-1][same], reads[1:][same])


def pairs(one: Ints, other: Ints) -> Pairs:
    """Return two columns of micro-operations as pairs."""
    return len(one), zip(one.tolist(), other.tolist(), strict=True)
