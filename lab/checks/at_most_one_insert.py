"""Of two transactions that insert if a predicate finds nothing, one at most commits."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from lab.checks._reading import Tally, identity, shown, unread
from lab.history import History, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


def at_most_one_insert() -> Check:
    """Of the inserts of each key, which look with a predicate for the others first, at most one is acknowledged.

    Values are [key, what was inserted]. Two acknowledged ones have each overlooked the other: an anti-dependency cycle
    by predicates (G2). One of unknown outcome is no evidence. Source: the checker of `jepsen.tests.adya`. Linear.
    """

    def judge(history: History) -> Judgement:
        done: dict[Hashable, list[Operation]] = {}
        unreadable = 0
        for insert in history.of_kind("insert"):
            if not isinstance(insert.value, list) or len(insert.value) != 2:
                unreadable += 1
            elif insert.outcome is Outcome.OK:
                done.setdefault(identity(insert.value[0]), []).append(insert)
        tally = Tally()
        twice = [(key, inserts) for key, inserts in done.items() if len(inserts) > 1]
        tally.add("G2", len(twice), _overlooked(twice))
        doubts = [] if done else ["no insert was acknowledged"]
        return tally.judgement(f"{len(done):,} keys have one insert each", [*doubts, *unread(unreadable)])

    return Check("at most one insert", "inserts that exclude each other by a predicate do not both commit", judge)


def _overlooked(twice: list[tuple[Hashable, list[Operation]]]) -> Iterator[Anomaly]:
    for key, inserts in twice:
        indexes = tuple(insert.index for insert in inserts)
        why = f"operations {' and '.join(map(str, indexes))} found no row of key {shown(key)}, and each inserted one"
        yield Anomaly("G2", indexes, why)
