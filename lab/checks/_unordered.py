"""Why the operations of a register have no legal order: the first return that makes it impossible, as a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from lab.checks._register import ANY, Transition, optional
from lab.checks._timeline import Timeline, lay_out
from lab.checks._wing_gong import Configuration, Explored, explore, usable
from lab.history import Json, Operation, Outcome

MOST_STATES = 6
"""States told in a sentence; of more, it says how many."""


@dataclass(frozen=True, slots=True)
class Unordered:
    """The operation *stuck* found a state that no legal order of what was done until it returned has.

    *possible* are the states that it might have found, each with an operation that makes it (None: it is the first).
    *operations* are the indexes of all that show it; *why* says it in one sentence. If the effort did not suffice to
    find out which operation it is, *stuck* is None and nothing is possible: *why* tells how far an order exists.
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
    states: int
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
        explored = explore(timeline, self.initial, self.states + 1, self.effort)
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
                bad, stride = tried, 0
        return bad

    def before_last(self, returns: int) -> tuple[Timeline, list[Configuration]]:
        """Return all configurations of a prefix in which everything but the last to return is linearized."""
        until = self.until(returns)
        # Nothing makes the state that the last one asks for here, so the search finds every way to get to it.
        until[returns - 1] = replace(until[returns - 1], need=self.states, new=ANY)
        timeline = lay_out(until)
        return timeline, [c for c in self.explore(timeline).deepest if c.front == returns - 1]


def explain(
    found: Sequence[Transition],
    good: int,
    start: int,
    values: Sequence[Json],
    asked: Mapping[int, Operation],
    effort: int,
) -> Unordered:
    """Return the first return that has no legal order, given how many surely have: in at most *effort* steps more."""
    prefixes = _Prefixes(found, start, len(values), effort)
    bad = prefixes.first_bad(good)
    if bad is None:
        last = prefixes.required[max(good - 1, 0)].index
        return Unordered(None, (), (last,), f"there is no legal order; there is one until operation {last} returned")
    due = prefixes.required[bad - 1]
    makers = _makers(due, *prefixes.before_last(bad))
    possible = sorted(makers.items(), key=lambda item: -1 if item[1] is None else item[1])
    writers = [t.index for t in found if t.new == due.need and t.invoked <= due.completed]
    names = tuple((values[state], maker) for state, maker in possible)
    shown = {due.index, *(maker for _, maker in possible[:MOST_STATES] if maker is not None), *writers[-2:]}
    why = f"{_told(asked[due.index])}, but {_held(names)}{_origin(writers, values[due.need], asked)}"
    return Unordered(due.index, names, tuple(sorted(shown)), why)


def _makers(due: Transition, timeline: Timeline, deepest: Sequence[Configuration]) -> dict[int, int | None]:
    """Return the states that *due* might have found, each with what makes it."""
    makers: dict[int, int | None] = {}
    for configuration in deepest:
        makers.setdefault(configuration.state, configuration.setter)
        for state, maker in _others(timeline, configuration):
            makers.setdefault(state, maker)
    grown = True
    while grown:
        more = {t.new: t.index for t in timeline.idle if t.need in makers and t.new not in makers}
        makers |= more
        grown = len(more) > 0
    makers.pop(due.need, None)
    return makers


def _others(timeline: Timeline, here: Configuration) -> Iterator[tuple[int, int]]:
    """Yield states that the register might hold as well, which the search saw no use in, and what would make them."""
    for pool in timeline.pools[here.front]:
        if usable(pool, here.state, here.used):
            yield pool.new, pool.indexes[(here.used >> pool.shift) & pool.most]
    yield from ((idle.new, idle.index) for idle in timeline.idle if idle.need == ANY)


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
    told = " or ".join([", ".join(states[:-1]), states[-1]]) if len(states) > 1 else "".join(states)
    return f"the register can only have held {told}"


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
