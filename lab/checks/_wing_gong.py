"""What may come next in a legal order of a register's transitions, and what need not be tried.

After Wing and Gong, "Testing and Verifying Concurrent Objects" (1993). A configuration is what is linearized and the
state after it. These reductions lose no answer, for whatever completes a configuration can be rearranged to do so:

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


def settle(timeline: Timeline, front: int, mask: int, state: int) -> tuple[int, int]:
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


def moves_from(timeline: Timeline, here: Configuration) -> list[Move]:
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
