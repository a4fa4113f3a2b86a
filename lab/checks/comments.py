"""Who sees a write sees every write that was acknowledged before it began."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Iterator

from lab.checks._reading import Part, Tally, identities, identity, parts, shown, unread
from lab.checks.set_kept import ended
from lab.history import History, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


def comments(*, keyed: bool | None = None) -> Check:
    """No read sees a write and misses one that was acknowledged before that began (causal reverse).

    Serializability allows it, strict serializability does not: it is expected of CockroachDB. Reads answer the list
    of what they see. Source: the checkers of `jepsen.cockroach.comments` and `jepsen.tests.causal-reverse`. O(n log n),
    and linear in the size of the reads. *keyed*: see `lab.checks._reading.parts`.
    """

    def judge(history: History) -> Judgement:
        tally, seen = Tally(), 0
        split, unreadable = parts(history, "write", keyed=keyed)
        for part in split:
            seen += _judge(part, tally)
        doubts = [] if seen else ["no read saw a write"]
        says = f"{seen:,} reads see, with a write, all that were acknowledged before it began"
        return tally.judgement(says, [*doubts, *unread(unreadable)])

    return Check("comments", "who sees a write sees those acknowledged before it began", judge)


def _judge(part: Part, tally: Tally) -> int:
    writes = {identity(value): write for write, value in part.writes}
    done = [(value, write) for value, write in writes.items() if write.outcome is Outcome.OK]
    done.sort(key=lambda one: ended(one[1]))
    ends = [ended(write) for _, write in done]
    rank = {value: number for number, (value, _) in enumerate(done)}
    reads = 0
    for read, values in part.reads:
        seen = {value for value in identities(values) if value in writes}
        reads += bool(seen)
        if not seen:
            continue
        newest = max((writes[value] for value in seen), key=lambda write: write.invoked)
        before = bisect_left(ends, newest.invoked)
        missed = before - sum(rank.get(value, before) < before for value in seen)
        if missed:
            tally.add("causal-reverse", 1, _reverse(part.where, read, newest, _missing(done, seen)))
    return reads


def _missing(done: list[tuple[Hashable, Operation]], seen: set[Hashable]) -> Iterator[Operation]:
    return (write for value, write in done if value not in seen)


def _reverse(where: str, read: Operation, newest: Operation, missing: Iterator[Operation]) -> Iterator[Anomaly]:
    missed = next(missing)
    what, other = shown(identity(newest.value)), shown(identity(missed.value))
    why = f"{where}operation {read.index} sees {what} of operation {newest.index}, but not {other}, which operation"
    why = f"{why} {missed.index} was told is written before that began"
    yield Anomaly("causal-reverse", (missed.index, newest.index, read.index), why)
