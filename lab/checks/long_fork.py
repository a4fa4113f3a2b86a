"""No two reads of the same keys see their writes in opposite orders."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from lab.checks._reading import Tally, identity, shown, unread
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement, inconclusive

Step: TypeAlias = tuple[Hashable, Hashable]
"""A key and the value that was written or found; None for no value."""


def long_fork(*, group: int | None = None) -> Check:
    """All reads of a group of keys, each written once, can be put in one order in which keys only become visible.

    Two reads of which each sees a write that the other misses are a long fork, which parallel snapshot isolation allows
    and snapshot isolation does not. Keys read together are a group. Source: the checker of `jepsen.tests.long-fork`; as
    there, a key that is written by two operations or found with two values, or a read of other than *group* keys if
    that is given, leaves the history undecided. O(n log n): reads of a group, ordered by how many keys they see, form a
    chain if and only if each sees all that the one before it sees.
    """

    def judge(history: History) -> Judgement:
        found = _Found()
        for operation in history.operations:
            found.take(operation)
        illegal = found.illegal(group)
        if illegal:
            return inconclusive(illegal)
        tally = Tally()
        for keys, snapshots in found.groups.items():
            fork = _fork(snapshots)
            if fork is not None:
                tally.add("long-fork", 1, _witness(keys, *fork))
        reads = sum(found.reads.values())
        compared = sum(count for count in found.reads.values() if count > 1)
        doubts = [] if compared else [f"no two of {reads:,} reads are of the same keys, at least two of them"]
        says = f"{compared:,} reads of {len(found.groups):,} groups of keys can be ordered"
        return tally.judgement(says, [*doubts, *unread(found.unreadable)])

    return Check("long fork", "reads of the same keys can be put in one order", judge)


@dataclass(slots=True)
class _Found:
    """The first read of each distinct snapshot of each group, by the keys that it sees."""

    groups: dict[frozenset[Hashable], dict[frozenset[Hashable], Operation]] = field(default_factory=dict)
    reads: dict[frozenset[Hashable], int] = field(default_factory=dict)
    sizes: dict[int, Operation] = field(default_factory=dict)
    writers: dict[Hashable, Operation] = field(default_factory=dict)
    values: dict[Hashable, tuple[Hashable, Operation]] = field(default_factory=dict)
    unreadable: int = 0
    problem: str = ""

    def take(self, operation: Operation) -> None:
        asked = _steps(operation.value)
        if asked is not None and asked[0] == {"w"}:
            self._write(operation, asked[1])
        elif operation.outcome is Outcome.OK and (asked is None or asked[0] == {"r"}):
            told = _steps(operation.result)
            if told is not None and told[0] == {"r"}:
                self._read(operation, dict(told[1]))
            else:
                self.unreadable += 1

    def _write(self, operation: Operation, steps: list[Step]) -> None:
        for key, _ in steps:
            other = self.writers.setdefault(key, operation)
            if other is not operation:
                pair = f"operations {other.index} and {operation.index}"
                self.problem = self.problem or f"key {shown(key)} is written by {pair}, and must be written once"

    def _read(self, operation: Operation, state: dict[Hashable, Hashable]) -> None:
        for key, value in state.items():
            if value is None:
                continue
            first, reader = self.values.setdefault(key, (value, operation))
            if first != value:
                pair = f"operations {reader.index} and {operation.index} find {shown(first)} and {shown(value)}"
                self.problem = self.problem or f"key {shown(key)} must have one value, but {pair}"
        self.sizes.setdefault(len(state), operation)
        if len(state) > 1:
            keys = frozenset(state)
            self.reads[keys] = self.reads.get(keys, 0) + 1
            visible = frozenset(key for key, value in state.items() if value is not None)
            self.groups.setdefault(keys, {}).setdefault(visible, operation)

    def illegal(self, group: int | None) -> str:
        other = next((read for size, read in self.sizes.items() if group is not None and size != group), None)
        if other is not None and not self.problem:
            return f"every read must be of {group} keys, but operation {other.index} is not"
        return self.problem


def _steps(value: Json) -> tuple[set[str], list[Step]] | None:
    """Return the functions of a transaction and its steps; None if it is none."""
    if not isinstance(value, list) or not value:
        return None
    functions, steps = set[str](), list[Step]()
    for step in value:
        if not isinstance(step, list) or len(step) != 3 or not isinstance(step[0], str):
            return None
        functions.add(step[0])
        steps.append((identity(step[1]), identity(step[2])))
    return functions, steps


def _fork(snapshots: dict[frozenset[Hashable], Operation]) -> tuple[Operation, Operation, Hashable, Hashable] | None:
    """Return two reads that cannot be ordered, a key that only the first sees, and one that only the second does."""
    ordered = sorted(snapshots, key=len)
    for less, more in pairwise(ordered):
        if not less <= more:
            one, other = sorted((less, more), key=lambda seen: snapshots[seen].index)
            return snapshots[one], snapshots[other], _first(one - other), _first(other - one)
    return None


def _first(keys: frozenset[Hashable]) -> Hashable:
    return min(keys, key=shown)


def _witness(
    keys: frozenset[Hashable], one: Operation, other: Operation, left: Hashable, right: Hashable
) -> Iterator[Anomaly]:
    group = ", ".join(sorted(map(shown, keys)))
    sees = f"operation {one.index} sees the write of {shown(left)} but not that of {shown(right)}"
    why = f"of keys {group}, {sees}, operation {other.index} sees the opposite: the two cannot be ordered"
    yield Anomaly("long-fork", (one.index, other.index), why)
