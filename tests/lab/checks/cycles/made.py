"""Histories of transactions for tests: written by hand, executed one after the other, or with an anomaly planted."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from typing import Any, cast

from hypothesis import strategies as st

from lab.history import History, Json, Operation, Outcome

Micro = Sequence[Any]
Body = Sequence[Micro]


def txn(
    *body: Micro, outcome: str = "ok", process: int | None = None, at: tuple[float, float] | None = None
) -> tuple[Body, Outcome, int | None, tuple[float, float] | None]:
    """Return a transaction for `history`; *at* is when it began and ended, by default after all before it."""
    return body, Outcome(outcome), process, at


def history(*transactions: tuple[Body, Outcome, int | None, tuple[float, float] | None]) -> History:
    """Return a history of transactions, one after the other if they do not say when."""
    operations = []
    for index, (body, outcome, process, at) in enumerate(transactions):
        begin, end = at or (2.0 * index, 2.0 * index + 1)
        asked = cast("Json", [[m[0], m[1], None if m[0] == "r" else m[2]] for m in body])
        answer = cast("Json", [list(m) for m in body]) if outcome is Outcome.OK else None
        operations.append(
            Operation(index, index if process is None else process, "txn", asked, outcome, begin, end, answer)
        )
    return History(tuple(operations))


def together(*transactions: Body, first: float = 0.0) -> list[tuple[Body, Outcome, int | None, tuple[float, float]]]:
    """Return transactions that all overlap with each other."""
    return [(body, Outcome.OK, None, (first, first + 1)) for body in transactions]


@st.composite
def serial_executions(draw: st.DrawFn, *, registers: bool = False) -> History:
    """Return what transactions saw that were executed one after the other; each took effect while it lasted.

    Some were reported failed, and had no effect, of some nobody knows.
    """
    state: dict[int, list[int]] = {key: [] for key in range(3)}
    made = []
    value = 0
    for number in range(draw(st.integers(1, 12))):
        outcome = draw(st.sampled_from(["ok", "ok", "ok", "info", "fail"]))
        applied = outcome == "ok" or (outcome == "info" and draw(st.booleans()))
        after = {key: list(values) for key, values in state.items()}
        body: list[list[Any]] = []
        for key in draw(st.lists(st.integers(0, 2), min_size=1, max_size=4)):
            if draw(st.booleans()):
                body.append(["r", key, _seen(after[key], registers=registers)])
            else:
                value += 1
                after[key].append(value)
                body.append(["w" if registers else "append", key, value])
        state = after if applied else state
        begin, end = number - draw(st.integers(0, 3)), number + draw(st.integers(0, 3)) + 0.5
        made.append((body, Outcome(outcome), number, (float(begin), end)))
    return history(*made)


def _seen(values: list[int], *, registers: bool) -> Any:
    if registers:
        return values[-1] if values else None
    return list(values)


@st.composite
def any_reads(draw: st.DrawFn, *, registers: bool = False) -> History:
    """Return up to five transactions that read states of two keys that may or may not fit together."""
    count = draw(st.integers(1, 5))
    shapes = [draw(st.lists(st.tuples(st.integers(0, 1), st.booleans()), min_size=1, max_size=3)) for _ in range(count)]
    value = 0
    bodies: list[list[list[Any]]] = []
    written: dict[int, list[int]] = {0: [], 1: []}
    for shape in shapes:
        body: list[list[Any]] = []
        for key, reads in shape:
            if reads:
                body.append(["r", key, None])
            else:
                value += 1
                written[key].append(value)
                body.append(["w" if registers else "append", key, value])
        bodies.append(body)
    orders = {key: draw(st.permutations(values)) for key, values in written.items()}
    for body in bodies:
        for micro in body:
            if micro[0] == "r":
                prefix = orders[micro[1]][: draw(st.integers(0, len(orders[micro[1]])))]
                micro[2] = _seen(prefix, registers=registers)
    times = [
        (float(b), float(b) + draw(st.integers(1, 4)))
        for b in draw(st.lists(st.integers(0, 6), min_size=count, max_size=count))
    ]
    return history(*((body, Outcome.OK, None, at) for body, at in zip(bodies, times, strict=True)))


def some_order_explains(history: History, *, realtime: bool = False, registers: bool = False) -> bool:
    """Try all orders of the transactions: the oracle for small histories of certain outcomes."""
    return any(_explains(order, realtime=realtime, registers=registers) for order in permutations(history.operations))


def _explains(order: Sequence[Operation], *, realtime: bool, registers: bool) -> bool:
    if realtime:
        for place, operation in enumerate(order):
            if any(later.completed is not None and later.completed < operation.invoked for later in order[place + 1 :]):
                return False
    state: dict[Any, list[int]] = {}
    for operation in order:
        for what, key, value in cast("list[Any]", operation.result):
            values = state.setdefault(key, [])
            if what != "r":
                values.append(value)
            elif value != _seen(values, registers=registers):
                return False
    return True
