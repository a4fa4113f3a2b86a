"""No value comes from nowhere: in a history that has all writes on record, each value that was read is one of them."""

from __future__ import annotations

from collections.abc import Iterator

from lab.history import History, Json, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def values_written() -> Check:
    """Every value that an ok transaction read from a register is one that a transaction wrote, or was asked to write.

    Transactions are of kind txn, with micro-operations ["r", key, value] and ["w", key, value]. Histories of others may
    lack writes (`serializable` lets them); one that our own clients recorded lacks none, so this is a failure there.
    """
    return Check("values written", "every value that was read is one that was written", _judge)


def _judge(history: History) -> Judgement:
    written = {pair for transaction in history.of_kind("txn") for pair in _pairs(transaction.value, "w")}
    reads, strange = 0, dict[int, tuple[str, str]]()
    for transaction in history.of_kind("txn"):
        if transaction.outcome is Outcome.OK:
            for pair in _pairs(transaction.result, "r"):
                reads += 1
                if pair not in written:
                    strange.setdefault(transaction.index, pair)
    if strange:
        index, (key, value) = next(iter(strange.items()))
        return failed(f"operation {index} read {value} from key {key}, which nobody wrote", strange)
    if not reads:
        return inconclusive("no value was read")
    return passed(f"all {reads:,} values that were read are on record as written")


def _pairs(micro_operations: Json, kind: str) -> Iterator[tuple[str, str]]:
    for operation in micro_operations if isinstance(micro_operations, list) else ():
        match operation:
            case [str(found), key, value] if found == kind and value is not None:
                yield repr(key), repr(value)
