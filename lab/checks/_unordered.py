"""Why the operations of a register have no legal order, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec

from lab.checks._register import ANY
from lab.checks._timeline import Timeline
from lab.checks._wing_gong import Configuration, usable
from lab.history import Json, Operation, Outcome

MOST_STATES = 6
"""States told in a sentence; of more, it says how many."""


@dataclass(frozen=True, slots=True)
class Unordered:
    """The operation *stuck* found a state that no legal order of what was done until it returned has.

    *possible* are the states that it might have found, each with the operation that made it (None: there from the start).
    *operations* are the indexes of all that show it; *why* says it in one sentence.
    """

    stuck: int
    possible: tuple[tuple[Json, int | None], ...]
    operations: tuple[int, ...]
    why: str


def explain(
    timeline: Timeline, deepest: Sequence[Configuration], values: Sequence[Json], asked: Mapping[int, Operation]
) -> Unordered:
    """Return what is wrong with the first operation whose return has no legal order, and so none of the deepest goes past."""
    due = timeline.required[deepest[0].front]
    makers: dict[int, int | None] = {}
    for configuration in deepest:
        makers.setdefault(configuration.state, configuration.setter)
        for state, maker in _others(timeline, configuration):
            makers.setdefault(state, maker)
    possible = sorted(makers.items(), key=lambda item: -1 if item[1] is None else item[1])
    writers = [
        t.index for t in (*timeline.required, *timeline.optional) if t.new == due.need and t.invoked <= due.completed
    ]
    names = tuple((values[state], maker) for state, maker in possible)
    shown = {due.index, *(maker for _, maker in possible[:MOST_STATES] if maker is not None), *writers[-2:]}
    why = f"{_told(asked[due.index])}, but {_held(names)}{_origin(writers, values[due.need], asked)}"
    return Unordered(due.index, names, tuple(sorted(shown)), why)


def _others(timeline: Timeline, here: Configuration) -> Iterator[tuple[int, int]]:
    """Yield states that the register might hold as well, which the search saw no use in, and what would make them."""
    due = timeline.required[here.front]
    for change in timeline.changes[here.front]:
        if not here.mask & change.bit and change.need in (ANY, here.state):
            yield change.new, change.index
    for pool in timeline.pools[here.front]:
        if usable(pool, here.state, here.used):
            yield pool.new, pool.indexes[(here.used >> pool.shift) & pool.most]
    for idle in timeline.idle:
        if idle.invoked <= due.completed and idle.need in (ANY, here.state):
            yield idle.new, idle.index


def _told(operation: Operation) -> str:
    who = f"operation {operation.index} (process {operation.process})"
    if operation.kind == "read":
        return f"{who} read {spell(operation.result)}"
    old, new = operation.value if isinstance(operation.value, list | tuple) else (None, None)
    return f"{who} changed {spell(old)} to {spell(new)}"


def _held(possible: Sequence[tuple[Json, int | None]]) -> str:
    """Return what the register can only have held."""
    if len(possible) > MOST_STATES:
        return f"it is none of the {len(possible)} values that the register can have held then"
    states = [
        f"{spell(value)} ({'its first value' if maker is None else f'from operation {maker}'})"
        for value, maker in possible
    ]
    return (
        f"the register can only have held {' or '.join([', '.join(states[:-1]), states[-1]] if states[1:] else states)}"
    )


def _origin(writers: Sequence[int], value: Json, asked: Mapping[int, Operation]) -> str:
    """Return where the value that was found may come from."""
    if not writers:
        return f" and nothing had written {spell(value)}"
    writes = [index for index in writers if asked[index].kind == "write" and asked[index].outcome is Outcome.OK]
    return f"; {spell(value)}, written by operation {writes[-1]}, was overwritten by then" if writes else ""


def spell(value: Json) -> str:
    """Return a value as JSON, cut if it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
