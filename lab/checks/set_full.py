"""The timeline of every element of a set: when it is known to be there, and whether reads that begin later see it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.checks._reading import Part, Tally, identities, identity, parts, shown, unread
from lab.checks.set_kept import Attempts, attempts, duplicates, ended, repeated, revival
from lab.history import History, Operation
from lab.verdict import Anomaly, Check, Judgement

PERMITTED = frozenset({"stale"})
"""What a set may do that need not be linearizable."""


def set_full(*, linearizable: bool = False, keyed: bool | None = None) -> Check:
    """No element that is known to be in the set is missing from then on; with *linearizable*, not even for a while.

    An element is known when its add is acknowledged or a read that sees it ends, whichever is first. It is *stable* if
    the last read to begin sees it; *stale* if, though stable, a read that began after it was known misses it; *lost* if
    such a read misses it and none that began later sees it; else never read. A read under way when it became known may
    see it or not. Source: Jepsen's `set-full` checker; beyond it, elements whose adds failed (*revived*), that nobody
    had asked for yet (*unexpected*), or that one read holds more than once (*duplicate*) are failures. Time is linear
    in the size of all reads. *keyed*: see `lab.checks._reading.parts`.
    """

    def judge(history: History) -> Judgement:
        tally, doubts, found = Tally(), list[str](), Counter[str]()
        split, unreadable = parts(history, "add", keyed=keyed)
        for part in split:
            timeline = _timeline(part)
            counts = timeline.report(part.where, tally)
            found.update(counts)
            if not counts["stable"]:
                doubts.append(f"{part.where}no element was ever seen by a read: {_sentence(counts)}")
        permitted = frozenset[str]() if linearizable else PERMITTED
        return tally.judgement(_sentence(found), [*doubts, *unread(unreadable)], permitted)

    how = "from then on" if linearizable else "in the end"
    return Check("set-full", f"what is known to be in the set is seen {how}", judge)


def _sentence(counts: Counter[str]) -> str:
    numbers = f"{counts['stable']:,} elements are stable ({counts['stale']:,} were stale)"
    return f"{numbers}, {counts['never read']:,} never read"


class Fate(NamedTuple):
    """What became of an element: when and by whom it was known, the last read that saw it, the last that missed it."""

    known: Operation | None
    present: Operation | None
    absent: Operation | None

    @property
    def missed(self) -> bool:
        """Whether a read that began after it was known misses it."""
        return self.known is not None and self.absent is not None and self.absent.invoked > ended(self.known)

    @property
    def stable(self) -> bool:
        """Whether the last read to begin that says something sees it."""
        return self.present is not None and (self.absent is None or self.absent.invoked <= self.present.invoked)


@dataclass(slots=True)
class _Timeline:
    adds: Attempts
    first_seen: dict[Hashable, Operation] = field(default_factory=dict)
    last_seen: dict[Hashable, Operation] = field(default_factory=dict)
    last_missed: dict[Hashable, Operation] = field(default_factory=dict)
    duplicate: dict[Hashable, tuple[Operation, int]] = field(default_factory=dict)
    began: dict[Hashable, float] = field(default_factory=dict)

    def fate(self, element: Hashable) -> Fate:
        add, seen = self.adds.ok.get(element), self.first_seen.get(element)
        known = seen if add is None or (seen is not None and ended(seen) < ended(add)) else add
        return Fate(known, self.last_seen.get(element), self.last_missed.get(element))

    def report(self, where: str, tally: Tally) -> Counter[str]:
        lost, stale = dict[Hashable, Fate](), dict[Hashable, Fate]()
        counts: Counter[str] = Counter()
        for element in (*self.adds.ok, *self.adds.info):
            fate = self.fate(element)
            if fate.stable and fate.missed:
                stale[element] = fate
            elif fate.missed:
                lost[element] = fate
            counts["stable" if fate.stable else "lost" if fate.missed else "never read"] += 1
        counts["stale"] = len(stale)
        tally.add("lost", len(lost), (_lost(where, element, fate) for element, fate in lost.items()))
        tally.add("stale", len(stale), (_stale(where, element, fate) for element, fate in stale.items()))
        self._report_impossible(where, tally)
        tally.add("duplicate", len(self.duplicate), duplicates(where, self.duplicate))
        return counts

    def _report_impossible(self, where: str, tally: Tally) -> None:
        revived = self.adds.fail.keys() & self.first_seen.keys()
        early = [e for e, read in self.first_seen.items() if e not in self.began or ended(read) < self.began[e]]
        early = [element for element in early if element not in revived]
        tally.add("revived", len(revived), (self._revived(where, element) for element in revived))
        tally.add("unexpected", len(early), (self._unexpected(where, element) for element in early))

    def _revived(self, where: str, element: Hashable) -> Anomaly:
        return revival(where, element, self.adds.fail[element], self.first_seen[element])

    def _unexpected(self, where: str, element: Hashable) -> Anomaly:
        read = self.first_seen[element]
        when = "which nobody asked to add" if element not in self.began else "before anybody asked to add it"
        why = f"{where}operation {read.index} sees {shown(element)}, {when}"
        return Anomaly("unexpected", (read.index,), why)


def _timeline(part: Part) -> _Timeline:
    line = _Timeline(attempts(part))
    adds = line.adds
    for add, value in reversed(part.writes):  # the first attempt of an element is the last to be noted
        line.began[identity(value)] = add.invoked
    reads = [(operation, identities(values)) for operation, values in part.reads]
    for read, elements in sorted(reads, key=lambda one: ended(one[0])):
        present = set(elements)
        line.first_seen.update(dict.fromkeys(present.difference(line.first_seen), read))
        for element, times in repeated(elements, present).items():
            line.duplicate.setdefault(element, (read, times))
    pending: set[Hashable] = {*adds.ok, *adds.info}
    for read, elements in sorted(reads, key=lambda one: one[0].invoked, reverse=True):
        present = set(elements)
        line.last_seen.update(dict.fromkeys(present.difference(line.last_seen), read))
        missed = pending - present
        pending -= missed
        line.last_missed.update((e, read) for e in missed if line.began[e] <= ended(read))
    return line


def _how_known(fate: Fate) -> str:
    known = fate.known
    if known is None:
        return ""
    return f"operation {known.index} " + ("saw it" if known.kind == "read" else "added it and was told ok")


def _indexes(fate: Fate) -> tuple[int, ...]:
    return tuple(dict.fromkeys(operation.index for operation in fate if operation is not None))


def _lost(where: str, element: Hashable, fate: Fate) -> Anomaly:
    absent, last = (operation.index if operation else "" for operation in (fate.absent, fate.present))
    seen = "no read ever sees it" if fate.present is None else f"the last read that does, {last}, began before that"
    why = f"{_how_known(fate)}, operation {absent} began later and does not see it, {seen}"
    return Anomaly("lost", _indexes(fate), f"{where}{shown(element)} is lost: {why}")


def _stale(where: str, element: Hashable, fate: Fate) -> Anomaly:
    absent, present = (operation.index if operation else "" for operation in (fate.absent, fate.present))
    why = f"{_how_known(fate)}, operation {absent} began later and does not see it, operation {present} does again"
    return Anomaly("stale", _indexes(fate), f"{where}{shown(element)} was stale: {why}")
