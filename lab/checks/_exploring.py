"""The search for a legal order, in two ways that take turns: one is quick if there is one, the other if not.

Both are Wing and Gong's search with Lowe's cache of configurations, "Testing for linearizability" (2017). Depth first,
a legal order is found with hardly a detour. Front by front, as in Lowe's just-in-time linearization, few configurations
are alive at once, and those that used the fewest unknown transitions come first and make the others superfluous.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lab.checks._timeline import Timeline
from lab.checks._wing_gong import Configuration, Move, moves_from, settle

TURN = 1_000
"""Steps of a turn."""

AHEAD = 8
"""Steps for each operation that the first way gets before the other has its first turn."""

Chain: TypeAlias = "tuple[Move, Chain] | None"
"""Moves, the last one first."""


@dataclass(frozen=True, slots=True)
class Explored:
    """How a search ended: *found* is None if the effort ran out. *steps* were spent of it.

    *furthest* is a number of returns that surely have a legal order; *moves* lead to one of all.
    """

    found: bool | None
    steps: int
    furthest: int
    moves: Sequence[Move] = ()


def explore(timeline: Timeline, initial: int, effort: int) -> Explored:
    """Search for a legal order from the state *initial*, in less than *effort* steps.

    A step is a configuration that is tried or waits to be, or eight comparisons with cached ones: effort bounds the
    caches as well.
    """
    start = Configuration(*settle(timeline, 0, 0, initial), initial, 0)
    depth, breadth = _DepthFirst(timeline, start), _FrontByFront(timeline, start)
    ways: tuple[_DepthFirst | _FrontByFront, ...] = depth, breadth
    turn, spent, found, way = AHEAD * len(timeline.required) + TURN, 0, None, ways[0]
    for way in itertools.cycle(ways):
        found = way.advance(way.steps + min(turn, effort - spent))
        spent = depth.steps + breadth.steps
        if found is not None or spent >= effort:
            break
        turn = TURN
    return Explored(found, min(spent, effort), max(depth.furthest, breadth.furthest), way.moves() if found else ())


class _Seen:
    """What was used of the pools in configurations that were tried: more than in another one is no use."""

    def __init__(self, guards: int) -> None:
        self._guards = guards
        self._least: dict[tuple[int, int, int], list[int]] = {}

    def note(self, here: Configuration) -> int:
        """Note it, and return the steps that it took to find that it is new; 0 if it or a better one was tried."""
        key, used, guards = here[:3], here.used, self._guards
        others = self._least.get(key)
        if others is None:
            self._least[key] = [used]
            return 1
        room = used | guards
        for other in others:
            if (room - other) & guards == guards:
                return 0
        others.append(used)
        return 1 + len(others) // 8

    def forget(self) -> None:
        """Forget all: none of them comes again."""
        self._least.clear()


class _DepthFirst:
    """A way through configurations, with the moves left in each, and the moves taken between them."""

    def __init__(self, timeline: Timeline, start: Configuration) -> None:
        self.steps, self.furthest = 0, start.front
        self._timeline, self._here, self._seen = timeline, start, _Seen(timeline.guards)
        self._way: list[tuple[Configuration, list[Move]]] = []
        self._taken: list[Move] = []

    def moves(self) -> list[Move]:
        return self._taken

    def advance(self, until: int) -> bool | None:
        """Go on until so many steps are spent in all; return whether there is an order once it is known."""
        last = len(self._timeline.required)
        while self._here.front < last:
            if self.steps >= until:
                return None
            cost = self._seen.note(self._here)
            self.steps += cost
            if cost:
                self.furthest = max(self.furthest, self._here.front)
                self._way.append((self._here, moves_from(self._timeline, self._here)))
            else:
                self._taken.pop()
            if not self._step():
                return False
        return True

    def _step(self) -> bool:
        """Take the next move, of an earlier configuration if the last has none; return whether there was one."""
        way, taken = self._way, self._taken
        while way and not way[-1][1]:
            way.pop()
            if taken:
                taken.pop()
        if not way:
            return False
        before, moves = way[-1]
        move = moves.pop()
        taken.append(move)
        self._here = _after(self._timeline, before, move)
        return True


class _FrontByFront:
    """Configurations in order of their fronts, and then of how many of the pools they used."""

    def __init__(self, timeline: Timeline, start: Configuration) -> None:
        self.steps, self.furthest = 0, start.front
        self._timeline, self._seen = timeline, _Seen(timeline.guards)
        self._number, self._queued = itertools.count(), {start}
        self._queue: list[tuple[int, int, int, Configuration, Chain]] = [(start.front, 0, 0, start, None)]

    def moves(self) -> list[Move]:
        chain, found = self._queue[0][4], []
        while chain is not None:
            found.append(chain[0])
            chain = chain[1]
        return found[::-1]

    def advance(self, until: int) -> bool | None:
        """Go on until so many steps are spent in all; return whether there is an order once it is known."""
        queue, last = self._queue, len(self._timeline.required)
        while queue:
            if queue[0][0] == last:
                return True
            if self.steps >= until:
                return None
            front, spent, _, here, chain = heapq.heappop(queue)
            if front > self.furthest:
                self.furthest = front
                self._seen.forget()
                self._queued = {waiting[3] for waiting in queue}
            cost = self._seen.note(here)
            self.steps += cost
            for move in moves_from(self._timeline, here) if cost else ():
                after = _after(self._timeline, here, move)
                if after not in self._queued:
                    self._queued.add(after)
                    self.steps += 1
                    more = spent + (move.used != here.used)
                    heapq.heappush(queue, (after.front, more, next(self._number), after, (move, chain)))
        return False


def _after(timeline: Timeline, before: Configuration, move: Move) -> Configuration:
    front, mask = settle(timeline, before.front, move.mask, move.state)
    return Configuration(front, mask, move.state, move.used)
