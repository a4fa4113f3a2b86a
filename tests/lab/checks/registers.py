"""Histories of compare-and-set registers: in a short notation, from serial executions, and judged by brute force."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from random import Random

from msgspec.structs import replace

from lab.history import History, Json, Operation, Outcome


def written(*lines: str) -> tuple[Operation, ...]:
    """Return operations from lines: a picture of its interval, and what it did (``!``: failed, ``?``: unknown).

    ``"  [---]  r 3"`` is a read of 3 from column 2 to 6, ``w 1`` a write, ``cas 1 2`` a compare-and-set, ``nil`` null.
    """
    drawn = []
    for process, line in enumerate(lines):
        start, end = line.index("["), line.index("]")
        name, *words = line[end + 1 :].split()
        outcome = {"!": Outcome.FAIL, "?": Outcome.INFO}.get(words[-1], Outcome.OK)
        values = [None if word == "nil" else int(word) for word in words if word not in "!?"]
        drawn.append((start, end, process, name, values, outcome))
    return tuple(_drawn(index, *parts) for index, parts in enumerate(sorted(drawn, key=lambda parts: parts[0])))


def _drawn(
    index: int, start: int, end: int, process: int, name: str, values: list[int | None], outcome: Outcome
) -> Operation:
    kind = {"r": "read", "w": "write", "cas": "cas"}[name]
    value: Json = None if kind == "read" else list(values) if kind == "cas" else values[0]
    result = values[0] if kind == "read" and outcome is Outcome.OK else None
    return Operation(index, process, kind, value, outcome, float(start), float(end), result)


def executed(
    random: Random, count: int, *, processes: int = 4, values: int = 3, unknown: float = 0.15
) -> list[Operation]:
    """Return *count* operations of a serial execution: each took effect at a moment between its call and its return."""
    moments = sorted(random.random() * count for _ in range(count))
    free = [0.0] * processes
    state: Json = None
    done = []
    for number, moment in enumerate(moments):
        process = random.choice([p for p in range(processes) if free[p] < moment] or [processes])
        if process == processes:  # all are busy: another client
            processes += 1
            free.append(0.0)
        invoked = random.uniform(max(free[process], moment - 3), moment)
        completed = moment + random.random() * 3
        free[process] = completed
        called = Operation(number, process, "", None, Outcome.OK, invoked, completed)
        operation, state = _effect(random, called, state, values)
        if random.random() < unknown:
            operation = replace(
                operation, outcome=Outcome.INFO, result=None, completed=random.choice([None, completed])
            )
        done.append(operation)
    done.sort(key=lambda operation: operation.invoked)
    return [replace(operation, index=index) for index, operation in enumerate(done)]


def _effect(random: Random, operation: Operation, state: Json, values: int) -> tuple[Operation, Json]:
    kind, new = random.choice(["read", "write", "cas"]), random.randrange(values)
    if kind == "read":
        return replace(operation, kind=kind, result=state), state
    if kind == "write":
        if random.random() < 0.1:
            return replace(operation, kind=kind, value=new, outcome=Outcome.FAIL), state
        return replace(operation, kind=kind, value=new, result=random.choice([None, "already applied"])), new
    old = random.randrange(values)
    done = old == state
    outcome = Outcome.OK if done else Outcome.FAIL
    return replace(operation, kind=kind, value=[old, new], outcome=outcome), new if done else state


def keyed(registers: Sequence[Iterable[Operation]]) -> History:
    """Return one history of many registers: values and results are [key, that]."""
    every = [
        replace(o, value=[key, o.value], result=[key, o.result] if o.kind == "read" else o.result)
        for key, operations in enumerate(registers)
        for o in operations
    ]
    every.sort(key=lambda operation: operation.invoked)
    return History(tuple(replace(operation, index=index) for index, operation in enumerate(every)))


def has_a_legal_order(operations: Iterable[Operation], initial: Json = None) -> bool:
    """Whether any order, of any choice of the unknown ones, is legal: all are tried, by the definition alone."""
    counted = tuple(
        operation
        for operation in operations
        if operation.outcome is Outcome.OK or (operation.outcome is Outcome.INFO and operation.kind != "read")
    )
    ends = [o.completed if o.outcome is Outcome.OK and o.completed is not None else math.inf for o in counted]

    dead: set[tuple[frozenset[int], str]] = set()

    def goes_on(left: frozenset[int], state: Json) -> bool:
        if (left, repr(state)) in dead:
            return False
        if all(ends[number] == math.inf for number in left):
            return True
        for number in left:
            if all(counted[number].invoked <= ends[other] for other in left):
                possible, after = apply(counted[number], state)
                if possible and goes_on(left - {number}, after):
                    return True
        dead.add((left, repr(state)))
        return False

    return goes_on(frozenset(range(len(counted))), initial)


def apply(operation: Operation, state: Json) -> tuple[bool, Json]:
    """Return whether a register that holds *state* can do the operation, and what it holds then."""
    if operation.kind == "read":
        return operation.result == state, state
    if operation.kind == "write":
        return True, operation.value
    old, new = operation.value if isinstance(operation.value, list) else (None, None)
    return old == state, new


def until_return_of(operations: Iterable[Operation], last: Operation) -> list[Operation]:
    """Return the history up to an operation's return: what is under way then is unknown, later ones are absent."""
    cut = last.completed or 0.0
    return [
        replace(o, outcome=Outcome.INFO) if o.outcome is Outcome.OK and (o.completed or 0.0) > cut else o
        for o in operations
        if o.invoked <= cut
    ]
