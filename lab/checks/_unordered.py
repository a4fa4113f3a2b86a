"""Why the operations of a register have no legal order: the first return that makes it impossible, as a sentence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile

import msgspec

from lab.checks._exploring import Explored, explore
from lab.checks._register import ANY, Transition, optional
from lab.checks._timeline import Timeline, lay_out
from lab.checks._wing_gong import order
from lab.history import Json, Operation, Outcome

MOST_STATES = 12
"""States that are tried, each with a search, and told; if there may be more, none is."""

FIRST = -1
"""Stands for the operation that left the first state."""


@dataclass(frozen=True, slots=True)
class Unordered:
    """The operation *stuck* found a state that no legal order of what was done until it returned has.

    *possible* are all states that it might have found, each with an operation that makes it (None: it is the first);
    empty if they may be too many. *operations* are the indexes of all that show it; *why* says it in one sentence. If
    the effort did not suffice to find out which operation it is, *stuck* is None: *why* tells how far an order exists.
    """

    stuck: int | None
    possible: tuple[tuple[Json, int | None], ...]
    operations: tuple[int, ...]
    why: str


@dataclass(slots=True)
class _Prefixes:
    """The history up to its nth return, in order of returns; what returned later may have been done, or not."""

    found: Sequence[Transition]
    initial: int
    effort: int
    required: list[Transition] = field(init=False)
    unknown: list[Transition] = field(init=False)

    def __post_init__(self) -> None:
        self.required = sorted((t for t in self.found if t.required), key=lambda t: t.completed)
        self.unknown = [t for t in self.found if not t.required]

    def until(self, returns: int) -> list[Transition]:
        cut = self.required[returns - 1].completed
        late = (optional(t) for t in self.required[returns:] if t.new != ANY)
        return [*self.required[:returns], *(t for t in (*self.unknown, *late) if t.invoked <= cut)]

    def explore(self, timeline: Timeline) -> Explored:
        explored = explore(timeline, self.initial, self.effort)
        self.effort -= explored.steps
        return explored

    def first_bad(self, good: int) -> int | None:
        """Return the least number of returns without a legal order, given one that has one; None if effort ran out."""
        bad, stride = len(self.required), 1
        while bad - good > 1:
            tried = min(good + stride, bad - 1) if stride else (good + bad) // 2
            explored = self.explore(lay_out(self.until(tried)))
            if explored.found is None:
                return None
            if explored.found:
                good, stride = tried, stride * 2
            else:
                bad, stride, good = tried, 0, max(good, explored.furthest)
        return bad

    def maker(self, returns: int, state: int) -> int | None:
        """Return the operation that left *state* for the last to return, in some legal order; -1 if it was the first.

        None if no order lets it find that state, or the effort ran out.
        """
        until = self.until(returns)
        due = until[returns - 1]
        until[returns - 1] = replace(due, need=state, new=ANY if due.new == state else due.new)
        timeline = lay_out(until)
        explored = self.explore(timeline)
        if not explored.found:
            return None
        before = list(takewhile(lambda index: index != due.index, order(timeline, self.initial, explored.moves)))
        changing = {t.index for t in until if t.new != ANY}
        return next((index for index in reversed(before) if index in changing), FIRST)

    def candidates(self, returns: int) -> list[int]:
        """Return the states that the last to return may have found: those that were not surely overwritten by then."""
        until = self.until(returns)
        due = until[returns - 1]
        changes = [t for t in until if t.new != ANY and t is not due]
        gone = max((t.invoked for t in changes if t.completed < due.invoked), default=-math.inf)
        alive = {t.new for t in changes if t.completed >= gone} | ({self.initial} if gone == -math.inf else set())
        return sorted(alive - {due.need})


def explain(
    found: Sequence[Transition],
    good: int,
    start: int,
    values: Sequence[Json],
    asked: Mapping[int, Operation],
    effort: int,
) -> Unordered:
    """Return the first return that has no legal order, given how many surely have: in at most *effort* steps more."""
    prefixes = _Prefixes(found, start, effort)
    bad = prefixes.first_bad(good)
    if bad is None:
        last = prefixes.required[good - 1].index if good else None
        until = "" if last is None else f"; there is one until operation {last} returned"
        return Unordered(None, (), () if last is None else (last,), f"there is no legal order{until}")
    due, states = prefixes.required[bad - 1], prefixes.candidates(bad)
    tried = {state: prefixes.maker(bad, state) for state in states} if len(states) <= MOST_STATES else {}
    makers = sorted((maker, state) for state, maker in tried.items() if maker is not None)
    possible = tuple((values[state], None if maker == FIRST else maker) for maker, state in makers)
    if prefixes.effort <= 0:
        possible = ()  # some were not looked for
    writers = [t.index for t in found if t.new == due.need and t.invoked <= due.completed and t.index != due.index]
    shown = {due.index, *(maker for _, maker in possible if maker is not None), *writers[-2:]}
    why = f"{_told(asked[due.index])}, but {_held(possible)}{_origin(writers, values[due.need], asked)}"
    return Unordered(due.index, possible, tuple(sorted(shown)), why)


def _told(operation: Operation) -> str:
    who = f"operation {operation.index} (process {operation.process})"
    if operation.kind == "read":
        return f"{who} read {spell(operation.result)}"
    old, new = operation.value if isinstance(operation.value, list | tuple) else (None, None)
    return f"{who} changed {spell(old)} to {spell(new)}"


def _held(possible: Sequence[tuple[Json, int | None]]) -> str:
    """Return what the register can only have held."""
    if not possible:
        return "the register cannot have held that then"
    states = [
        f"{spell(value)} ({'its first value' if maker is None else f'from operation {maker}'})"
        for value, maker in possible
    ]
    told = " or ".join([", ".join(states[:-1]), states[-1]]) if len(states) > 1 else "".join(states)
    return f"the register can only have held {told}"


def _origin(writers: Sequence[int], value: Json, asked: Mapping[int, Operation]) -> str:
    """Return where the value that was found may come from."""
    if not writers:
        return f"; nothing had written {spell(value)}"
    writes = [index for index in writers if asked[index].kind == "write" and asked[index].outcome is Outcome.OK]
    return f"; {spell(value)}, written by operation {writes[-1]}, was overwritten by then" if writes else ""


def spell(value: Json) -> str:
    """Return a value as JSON, cut if it is long."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
