"""Chains of writes, each by one client: which of their parts a read has to see."""

from __future__ import annotations

from msgspec.structs import replace

from lab.history import History, Json, Operation, Outcome


def acknowledged_parts(history: History) -> History:
    """Return the history with only those parts in the answers of its reads whose write is reported done (ok).

    A write is of [chain, part], parts counted from 0; a read answers [chain, [last part, ..., part 0]]. A part that
    failed, or of which nobody knows when it took effect, leaves a gap that contradicts nothing.
    """
    done = {
        (o.value[0], o.value[1])
        for o in history.of_kind("write")
        if o.outcome is Outcome.OK and isinstance(o.value, list) and len(o.value) == 2
    }
    return replace(history, operations=tuple(_reduced(operation, done) for operation in history.operations))


def _reduced(operation: Operation, done: set[tuple[Json, Json]]) -> Operation:
    match operation:
        case Operation(kind="read", result=[chain, list(found)]):
            last = len(found) - 1
        case _:
            return operation
    kept = [part for place, part in enumerate(found) if (chain, last - place) in done]
    return replace(operation, result=[chain, kept])
