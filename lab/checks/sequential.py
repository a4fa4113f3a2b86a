"""Writes of one client become visible in their order: who sees a later one sees the earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import dropwhile

from lab.checks._reading import Tally, identity, shown, unread
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


def sequential() -> Check:
    """No read that looks for the subkeys of a key, last written first, finds one and then misses an earlier one.

    A write puts the subkeys of a key in order, each in a transaction of its own; a read answers [key, what it found of
    each], null for what is absent. A write of unknown outcome stops anywhere, and leaves no gap either. Source: the
    checker of `jepsen.cockroach.sequential`. Linear in the size of the reads.
    """

    def judge(history: History) -> Judgement:
        tally, seen, unreadable, reads = Tally(), 0, 0, 0
        for read in history.of_kind("read"):
            if read.outcome is not Outcome.OK:
                continue
            reads += 1
            found = _found(read.result)
            if found is None:
                unreadable += 1
                continue
            rest = list(dropwhile(_absent, found))
            seen += bool(rest)
            if None in rest:
                tally.add("gap", 1, _gap(read, rest))
        says = f"{reads:,} reads find no gap, {seen:,} of them find something"
        return tally.judgement(says, [*_doubts(reads, seen), *unread(unreadable)])

    return Check("sequential", "who sees a later write of a client sees its earlier ones", judge)


def _doubts(reads: int, seen: int) -> Iterator[str]:
    if not seen:
        yield "no read found anything" if reads else "nothing was read"


def _absent(subkey: Json) -> bool:
    return subkey is None


def _found(result: Json) -> list[Json] | None:
    if isinstance(result, list) and len(result) == 2 and isinstance(result[1], list):
        return result[1]
    return None


def _gap(read: Operation, rest: list[Json]) -> Iterator[Anomaly]:
    written = len(rest) - rest.index(None)
    key = shown(identity(read.result[0])) if isinstance(read.result, list) else ""
    why = f"of key {key} operation {read.index} finds {shown(identity(rest[0]))}, but not the write number {written}"
    yield Anomaly("gap", (read.index,), f"{why}, which came before it and for which it looked later")
