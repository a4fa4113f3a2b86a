"""Nothing that was appended is lost; dependencies do not show that, as a read of too little may be an early one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from lab.history import History, Json, Operation, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def appends_kept() -> Check:
    """The last ok read-only transaction sees every append of an ok transaction once, and none of a failed one.

    Transactions are of kind txn, in Jepsen's shape. The last one has to be invoked after all others have ended, and to
    read every key: as the final read of `lab.checks.resolution.with_final_reads` does.
    """
    return Check("appends kept", "in the end every list has what was appended to it, once", _judge)


def _judge(history: History) -> Judgement:
    transactions = list(history.of_kind("txn"))
    last = max(transactions, key=lambda transaction: transaction.invoked, default=None)
    if last is None or last.outcome is not Outcome.OK or any(_appends(last)) or not _is_after(last, transactions):
        return inconclusive("the lists were not read after the last append")
    held = Counter(_elements(last.result))
    wrong: dict[str, list[int]] = {}
    asked = kept = 0
    for transaction in transactions:
        for key, value in _appends(transaction):
            asked += 1
            kept += transaction.outcome is Outcome.OK
            if problem := _problem(transaction.outcome, held[repr(key), repr(value)]):
                wrong.setdefault(problem, []).append(transaction.index)
    if wrong:
        why = "; ".join(f"{len(indexes)} {problem}" for problem, indexes in wrong.items())
        return failed(why, sorted({index for indexes in wrong.values() for index in indexes}))
    if not kept:
        return inconclusive("nothing was appended for certain")
    return passed(f"{kept:,} of {asked:,} appends are there once, the others were not reported done")


def _is_after(last: Operation, others: list[Operation]) -> bool:
    return all(o is last or (o.completed is not None and o.completed <= last.invoked) for o in others)


def _problem(outcome: Outcome, times: int) -> str | None:
    if times > 1:
        return "appends are in a list more than once"
    if outcome is Outcome.OK and not times:
        return "appends were reported done, and are lost"
    return "appends were reported failed, and are there" if outcome is Outcome.FAIL and times else None


def _appends(transaction: Operation) -> Iterator[tuple[Json, Json]]:
    for operation in transaction.value if isinstance(transaction.value, list) else ():
        match operation:
            case ["append", key, value]:
                yield key, value


def _elements(result: Json) -> Iterator[tuple[str, str]]:
    for operation in result if isinstance(result, list) else ():
        match operation:
            case ["r", key, list(elements)]:
                yield from ((repr(key), repr(element)) for element in elements)
