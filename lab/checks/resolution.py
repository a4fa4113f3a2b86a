"""What the final reads settle: outcomes that were unknown to the client, and the last state of everything."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from msgspec.structs import replace

from lab.history import History, Json, Operation, Outcome
from lab.verdict import Check, Judgement, Verdict


def resolved(history: History) -> History:
    """Return the history with the unknown outcomes of writes replaced by what the final reads found.

    The effect is there: it is done (ok), with "already applied" for its answer, which nobody knows. It is not there,
    and everything has settled: it was never done (fail). Such an operation took effect at any time up to the end and
    its client did not wait for it, so it ends with the run and has a process of its own. Without final reads, and for
    operations of known outcome, nothing changes: one that failed and is there stays a contradiction.
    """
    if history.final is None:
        return history
    effects, end = history.final.effects, _end(history)
    first = _next_process(history)
    operations = tuple(
        _settle(operation, effects.get(operation.unit, 0), end, first + place)
        if operation.outcome is Outcome.INFO and operation.unit is not None
        else operation
        for place, operation in enumerate(history.operations)
    )
    return replace(history, operations=operations)


def resolutions(history: History) -> tuple[int, int]:
    """Return how many writes of unknown outcome the final reads found, and how many they did not."""
    effects = history.final.effects if history.final is not None else {}
    doubts = [effects.get(o.unit or "", 0) for o in history.writes if o.outcome is Outcome.INFO]
    found = sum(count > 0 for count in doubts)
    return (found, len(doubts) - found) if history.final is not None else (0, 0)


def with_final_reads(history: History) -> History:
    """Return the history with the workload's final reads as ok operations at its end, by a process of their own.

    They are in the final state's list "reads", each {"kind", "value", "result"}.
    """
    index = max((operation.index for operation in history.operations), default=-1) + 1
    process, end = _next_process(history) + len(history.operations), _end(history)
    added = tuple(
        Operation(index + place, process, kind, value, Outcome.OK, end + 1 + 2 * place, end + 2 + 2 * place, result)
        for place, (kind, value, result) in enumerate(_final_reads(history))
    )
    return replace(history, operations=(*history.operations, *added))


def settled(check: Check) -> Check:
    """Return *check* over `resolved` histories `with_final_reads`; it says how many outcomes they have settled."""

    def judge(history: History) -> Judgement:
        judgement = check.judge(with_final_reads(resolved(history)))
        found, absent = resolutions(history)
        if judgement.verdict is Verdict.FAIL or not found + absent:
            return judgement
        told = f"{found + absent} unknown outcomes settled by final reads: {found} done, {absent} not"
        return judgement._replace(why=f"{judgement.why}; {told}")

    return dataclasses.replace(check, judge=judge)


def _settle(operation: Operation, effects: int, end: float, process: int) -> Operation:
    if not effects:
        return replace(operation, outcome=Outcome.FAIL)
    return replace(operation, outcome=Outcome.OK, result="already applied", completed=end, process=process)


def _end(history: History) -> float:
    """Return a moment after everything that was recorded."""
    times = [time for o in history.operations for time in (o.invoked, o.completed) if time is not None]
    return max(times, default=0.0) + 1


def _next_process(history: History) -> int:
    return max((operation.process for operation in history.operations), default=-1) + 1


def _final_reads(history: History) -> Iterator[tuple[str, Json, Json]]:
    state = history.final.state if history.final is not None else None
    reads = state.get("reads") if isinstance(state, dict) else None
    for read in reads if isinstance(reads, list) else ():
        if isinstance(read, dict) and isinstance(kind := read.get("kind"), str):
            yield kind, read.get("value"), read.get("result")
