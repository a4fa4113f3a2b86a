"""The search for a legal order of a register's transitions.

Wing and Gong, "Testing and Verifying Concurrent Objects" (1993), with Lowe's cache of configurations, "Testing for
linearizability" (2017). A configuration is what is linearized and the state after it. These reductions lose no answer,
for whatever completes a configuration can be rearranged to do the same:

- A pending read of the present state comes next: it changes nothing.
- Of pending changes with the same effect, the one that has to be done first goes first; an unknown one goes last.
- An unknown change is used only if something pending needs its state, else it could be left out or come later.
- A write whose value nobody needs any more is *blind*: it waits until it is due, or hides just before another write.
- A state that nothing can make again is not left while something still has to find it.
- A configuration that used up more unknown changes than another, and is otherwise the same, can do no more than that.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from lab.checks._register import ANY
from lab.checks._timeline import Pool, Timeline


class Move(NamedTuple):
    """A next change: the mask and state after it, the counters of the pools, and its operation's index."""

    mask: int
    state: int
    used: int
    operation: int


class Configuration(NamedTuple):
    """What is linearized: all before *front*, the pending ones in *mask*, and *used* of the pools."""

    front: int
    mask: int
    state: int
    used: int


@dataclass(frozen=True, slots=True)
class Explored:
    """How a search ended: *found* is None if the effort ran out. *steps* were spent of it.

    *furthest* is a number of returns that surely have a legal order; *moves* lead to one of all.
    """

    found: bool | None
    steps: int
    furthest: int
    moves: Sequence[Move] = ()


class _Seen:
    """Configurations that were tried: a lesser one is one that used no fewer of the pools."""

    def __init__(self, timeline: Timeline, states: int) -> None:
        self._slots, self._states, self._guards = timeline.slots, states, timeline.guards
        self._tried: set[int] = set()
        self._least: dict[int, list[int]] = {}

    def note(self, here: Configuration) -> int:
        """Note it, and return how many comparisons showed that it is new; 0 if it or a better one was tried."""
        front, mask, state, used = here
        key = ((front * self._states + state) << self._slots) | mask
        if not self._guards:
            if key in self._tried:
                return 0
            self._tried.add(key)
            return 1
        others = self._least.setdefault(key, [])
        guards = self._guards
        room = used | guards
        for other in others:
            if (room - other) & guards == guards:
                return 0
        others.append(used)
        return len(others)


class _Walk:
    """Where the search is: the configurations on its way, the moves left in each, and those *taken* between them."""

    def __init__(self) -> None:
        self._way: list[tuple[Configuration, list[Move]]] = []
        self.taken: list[Move] = []

    def enter(self, here: Configuration, moves: list[Move]) -> None:
        self._way.append((here, moves))

    def step(self, *, fresh: bool) -> tuple[Configuration, Move] | None:
        """Take the next move, of an earlier configuration if the last has none or the one reached was not *fresh*."""
        way, taken = self._way, self.taken
        if not fresh:
            taken.pop()
        while way and not way[-1][1]:
            way.pop()
            if taken:
                taken.pop()
        if not way:
            return None
        before, moves = way[-1]
        taken.append(moves.pop())
        return before, taken[-1]


def explore(timeline: Timeline, initial: int, states: int, effort: int) -> Explored:
    """Search depth first for a legal order from the state *initial*, of *states* states, in at most *effort* steps.

    A step is a configuration that is tried, or a comparison with a cached one; so effort bounds the cache as well.
    """
    seen, last = _Seen(timeline, states), len(timeline.required)
    here = Configuration(*_settle(timeline, 0, 0, initial), initial, 0)
    walk, steps, furthest = _Walk(), 0, here.front
    while here.front < last:
        cost = seen.note(here)
        steps += cost
        if steps > effort:
            return Explored(None, effort, furthest)
        if cost:
            walk.enter(here, _moves(timeline, here))
            furthest = max(furthest, here.front)
        step = walk.step(fresh=cost > 0)
        if step is None:
            return Explored(False, steps, furthest)
        before, move = step
        front, mask = _settle(timeline, before.front, move.mask, move.state)
        here = Configuration(front, mask, move.state, move.used)
    return Explored(True, steps, last, walk.taken)


def _settle(timeline: Timeline, front: int, mask: int, state: int) -> tuple[int, int]:
    """Linearize the pending reads of *state*, and move the front on past all that is linearized."""
    bits, reads, last = timeline.bits, timeline.reads, len(timeline.bits)
    while front < last:
        mask |= reads[front].get(state, 0)
        bit = bits[front]
        if not mask & bit:
            break
        mask ^= bit
        front += 1
    return front, mask


def _moves(timeline: Timeline, here: Configuration) -> list[Move]:
    """Return the changes that may come next, the most promising last."""
    front, mask, state, used = here
    hiding, due = mask | timeline.blind[front], timeline.bits[front]
    tried: set[int] = set()
    moves: list[Move] = []
    waiting = _waiting(timeline, here)
    for bit, need, new, effect, operation, blind in timeline.changes[front]:
        if mask & bit or (need != ANY and need != state) or (blind and bit != due) or effect in tried:
            continue
        if waiting is not None and waiting != bit:
            continue
        tried.add(effect)
        moves.append(Move((hiding if need == ANY else mask) | bit, new, used, operation))
    pools = timeline.pools[front]
    if pools and waiting is None:
        wanted = _wanted(timeline, here)
        for pool in pools:
            if pool.new in wanted and pool.effect not in tried and _usable(pool, state, used):
                taken = pool.indexes[(used >> pool.shift) & pool.most]
                moves.append(Move(hiding if pool.need == ANY else mask, pool.new, used + pool.unit, taken))
    moves.reverse()
    return moves


def _waiting(timeline: Timeline, here: Configuration) -> int | None:
    """Return the only changes that may come next as the present state never comes again; None if any may, 0 if none."""
    front, mask, state, used = here
    now = timeline.required[front].completed
    if timeline.made_from.get(state, -math.inf) > now:
        return None
    later = timeline.wanted_from.get(state, -math.inf) > now
    waiting = 0
    for change in timeline.changes[front]:
        if not mask & change.bit:
            if change.new == state:
                return None
            waiting |= change.bit if change.need == state else 0
    if any(pool.new == state and (used >> pool.shift) & pool.most < pool.there for pool in timeline.pools[front]):
        return None
    if later:
        return 0
    return waiting or None


def _usable(pool: Pool, state: int, used: int) -> bool:
    """Whether one of the pool is left that can take effect on *state*, and changes it."""
    return (
        (pool.need == ANY or pool.need == state) and pool.new != state and (used >> pool.shift) & pool.most < pool.there
    )


def _wanted(timeline: Timeline, here: Configuration) -> set[int]:
    """Return the states that something pending needs, if only to make another one that is needed."""
    front, mask = here.front, here.mask
    wanted = {need for need, bits in timeline.reads[front].items() if bits & ~mask}
    wanted.update(change.need for change in timeline.changes[front] if not mask & change.bit)
    swaps = [pool for pool in timeline.pools[front] if pool.need != ANY]
    grown = len(swaps) > 0
    while grown:
        more = {pool.need for pool in swaps if pool.new in wanted} - wanted
        wanted |= more
        grown = len(more) > 0
    wanted.discard(ANY)
    return wanted


def order(timeline: Timeline, initial: int, moves: Sequence[Move]) -> list[int]:
    """Return the operations in the legal order that *moves* lead to; unknown ones that take no effect are left out."""
    names: dict[int, int] = dict(timeline.admitted[0]) if timeline.admitted else {}
    done: list[int] = []
    front, mask, state = 0, 0, initial
    for move in [None, *moves]:
        if move is not None:
            hidden = move.mask & ~mask
            done += [names[bit] for bit in _bits(hidden) if names[bit] != move.operation]
            done.append(move.operation)
            mask, state = move.mask, move.state
        while front < len(timeline.bits):
            fresh = timeline.reads[front].get(state, 0) & ~mask
            done += [names[bit] for bit in _bits(fresh)]
            mask |= fresh
            if not mask & timeline.bits[front]:
                break
            mask ^= timeline.bits[front]
            front += 1
            if front < len(timeline.bits):
                names.update(timeline.admitted[front])
    return done


def _bits(mask: int) -> list[int]:
    found = []
    while mask:
        found.append(mask & -mask)
        mask &= mask - 1
    return found
