"""Transitions of a register laid out in time, so that a search needs only small integers.

The required ones are numbered in order of completion: their *positions*. A *front* is the first position that is not
linearized yet; whatever may come next was invoked before the front completed. Those that are pending at a front each
have a *slot*, a bit that is used again once they are behind, so that a configuration stays as small as the
concurrency, however long the history is.
"""

from __future__ import annotations

import heapq
import math
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lab.checks._register import ANY, Transition


class Change(NamedTuple):
    """A pending required transition that leaves a new state; *effect* numbers need and new together."""

    bit: int
    need: int
    new: int
    effect: int
    operation: int
    blind: bool


class Pool(NamedTuple):
    """Optional transitions of one effect: *there* of them were invoked by now, *indexes* in order of invocation.

    How many of them are used is the field of a configuration's counter at *shift*, *width* bits wide; *unit* is one.
    """

    unit: int
    shift: int
    most: int
    there: int
    need: int
    new: int
    effect: int
    indexes: Sequence[int]


@dataclass(slots=True)
class Timeline:
    """For each front: its *bits*, the pending *reads* by state, *changes*, *blind* ones, and the *pools* to be used.

    *admitted* are the bits and indexes of what becomes pending at a front; *guards* are the bits above pools' fields.
    *wanted_from* and *made_from* say when the last required transition that needs a state, and the last of all that
    make it, were invoked.
    """

    required: list[Transition]
    optional: list[Transition]
    idle: list[Transition]
    wanted_from: dict[int, float] = field(default_factory=dict)
    made_from: dict[int, float] = field(default_factory=dict)
    guards: int = 0
    slots: int = 0
    bits: list[int] = field(default_factory=list)
    reads: list[dict[int, int]] = field(default_factory=list)
    changes: list[tuple[Change, ...]] = field(default_factory=list)
    blind: list[int] = field(default_factory=list)
    pools: list[tuple[Pool, ...]] = field(default_factory=list)
    admitted: list[tuple[tuple[int, int], ...]] = field(default_factory=list)


def lay_out(found: Iterable[Transition]) -> Timeline:
    """Return the timeline of transitions. Optional ones that can serve nobody are *idle*."""
    every = list(found)
    required = sorted((t for t in every if t.required), key=lambda t: t.completed)
    optional = sorted((t for t in every if not t.required), key=lambda t: t.invoked)
    last = _last_needs(required, optional)
    useful = [t for t in optional if last[t.new] >= t.invoked]
    timeline = Timeline(required, useful, [t for t in optional if last[t.new] < t.invoked])
    _note_last_invocations(timeline)
    effects: dict[tuple[int, int], int] = {}
    _admit(timeline, last, effects)
    _pool(timeline, effects)
    return timeline


def _last_needs(required: list[Transition], optional: list[Transition]) -> defaultdict[int, float]:
    """Return until when each state may be needed; an unknown compare-and-set needs its old state if its new one is."""
    last: defaultdict[int, float] = defaultdict(lambda: -math.inf)
    for transition in required:
        if transition.need != ANY:
            last[transition.need] = max(last[transition.need], transition.completed)
    swaps = [t for t in optional if t.need != ANY]
    grown = True
    while grown:
        grown = False
        for swap in swaps:
            if last[swap.new] >= swap.invoked and last[swap.need] < last[swap.new]:
                last[swap.need], grown = last[swap.new], True
    return last


def _note_last_invocations(timeline: Timeline) -> None:
    for transition in timeline.required:
        if transition.need != ANY:
            known = timeline.wanted_from.get(transition.need, -math.inf)
            timeline.wanted_from[transition.need] = max(known, transition.invoked)
    for transition in (*timeline.required, *timeline.optional):
        if transition.new != ANY:
            known = timeline.made_from.get(transition.new, -math.inf)
            timeline.made_from[transition.new] = max(known, transition.invoked)


def _admit(timeline: Timeline, last: defaultdict[int, float], effects: dict[tuple[int, int], int]) -> None:
    required = timeline.required
    arriving = sorted(range(len(required)), key=lambda position: required[position].invoked)
    slots, free = [0] * len(required), list[int]()
    pending: list[int] = []
    arrived = 0
    for front, transition in enumerate(required):
        before = arrived
        while arrived < len(arriving) and required[arriving[arrived]].invoked <= transition.completed:
            position = arriving[arrived]
            arrived += 1
            slots[position] = heapq.heappop(free) if free else timeline.slots
            timeline.slots = max(timeline.slots, slots[position] + 1)
            insort(pending, position)
        new = arriving[before:arrived]
        timeline.admitted.append(tuple((1 << slots[position], required[position].index) for position in new))
        timeline.bits.append(1 << slots[front])
        _describe(timeline, [(1 << slots[position], required[position]) for position in pending], last, effects)
        pending.remove(front)
        heapq.heappush(free, slots[front])


def _describe(
    timeline: Timeline,
    pending: list[tuple[int, Transition]],
    last: defaultdict[int, float],
    effects: dict[tuple[int, int], int],
) -> None:
    """Add what is pending at the next front."""
    reads: dict[int, int] = {}
    changes, hidden = [], 0
    for bit, t in pending:
        if t.new == ANY:
            reads[t.need] = reads.get(t.need, 0) | bit
            continue
        effect = effects.setdefault((t.need, t.new), len(effects))
        blind = t.need == ANY and last[t.new] < t.invoked
        hidden |= bit if blind else 0
        changes.append(Change(bit, t.need, t.new, effect, t.index, blind))
    timeline.reads.append(reads)
    timeline.changes.append(tuple(changes))
    timeline.blind.append(hidden)


def _pool(timeline: Timeline, effects: dict[tuple[int, int], int]) -> None:
    alike: defaultdict[int, list[Transition]] = defaultdict(list)
    for transition in timeline.optional:
        alike[effects.setdefault((transition.need, transition.new), len(effects))].append(transition)
    pools: dict[int, Pool] = {}
    shift = 0
    for effect, members in alike.items():
        width = len(members).bit_length()
        indexes = tuple(member.index for member in members)
        pools[effect] = Pool(1 << shift, shift, (1 << width) - 1, 0, members[0].need, members[0].new, effect, indexes)
        timeline.guards |= 1 << (shift + width)
        shift += width + 1
    arrived, there = 0, tuple[Pool, ...]()
    for transition in timeline.required:
        before = arrived
        while arrived < len(timeline.optional) and timeline.optional[arrived].invoked <= transition.completed:
            late = timeline.optional[arrived]
            effect = effects[late.need, late.new]
            pools[effect] = pools[effect]._replace(there=pools[effect].there + 1)
            arrived += 1
        if arrived > before:
            there = tuple(pool for pool in pools.values() if pool.there)
        timeline.pools.append(there)
