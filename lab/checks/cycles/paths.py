"""Shortest paths between many pairs of nodes at once, in work that is counted: the core of the search for witnesses."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order

from lab.checks.cycles.columns import Ints

FRONTIER_WORDS = 4_000_000
"""Words of 64 sources that one step of the search may touch (32 MB)."""

LEVELS = 32
"""Steps that all sources take together; longer paths are looked for from one source after the other."""

WORD = 64


class Exhausted(ValueError):
    """The search has used up the work that it was granted."""


class Effort:
    """Work that may still be done, counted in edges times words of 64 sources."""

    def __init__(self, granted: int) -> None:
        self.left = granted

    def spend(self, work: int) -> None:
        """Take some of it; raise Exhausted when there is none left."""
        self.left -= work
        if self.left < 0:
            raise Exhausted


@dataclass(frozen=True)
class Graph:
    """*size* nodes, edges from *source* to *target*, in the order of targets."""

    size: int
    source: Ints
    target: Ints

    @classmethod
    def of(cls, size: int, source: Ints, target: Ints) -> Graph:
        """Return a graph without repeated edges."""
        code = np.unique(target.astype(np.int64) * size + source)
        return cls(size, code % size, code // size)


def shortest(graph: Graph, starts: Ints, goals: Ints, effort: Effort) -> list[int] | None:
    """Return the nodes of the shortest path from a start to its own goal, over all pairs; None if there is none.

    No start is its own goal. Breadth first from all starts at once, one bit each; what is farther than LEVELS steps is
    looked for from one start after the other. Raises Exhausted.
    """
    if not len(starts) or not len(graph.source):
        return None
    best: list[int] | None = None
    farther = False
    for chosen in _batches(graph, starts):
        limit = LEVELS if best is None else min(LEVELS, len(best) - 2)
        pair, cut = _nearest(graph, starts[chosen], goals[chosen], limit, effort)
        farther |= cut
        if pair is not None:
            best = _path(graph, *pair, effort)
    return _farther(graph, starts, goals, effort) if farther and best is None else best


def _batches(graph: Graph, starts: Ints) -> Iterator[Ints]:
    """Yield the places of pairs, those of one start together, so that a step touches FRONTIER_WORDS at most."""
    words = max(1, min(64, FRONTIER_WORDS // max(1, len(graph.source))))
    order = np.argsort(starts, kind="stable")
    distinct = np.cumsum(np.append(0, starts[order][1:] != starts[order][:-1]))
    begins = np.searchsorted(distinct, np.arange(0, int(distinct[-1]) + 1, words * WORD)).tolist()
    for begin, end in itertools.pairwise([*begins, len(order)]):
        yield order[begin:end]


def _nearest(
    graph: Graph, starts: Ints, goals: Ints, limit: int, effort: Effort
) -> tuple[tuple[int, int] | None, bool]:
    """Return the start and goal nearest to each other within *limit* steps, and whether there may be others beyond."""
    sources, number = np.unique(starts, return_inverse=True)
    words = (len(sources) + WORD - 1) // WORD
    word, bit = number // WORD, (number % WORD).astype(np.uint64)
    reached = np.zeros((graph.size, words), np.uint64)
    front = np.zeros_like(reached)
    places = np.arange(len(sources))
    front[sources, places // WORD] = np.uint64(1) << (places % WORD).astype(np.uint64)
    heads, first = np.unique(graph.target, return_index=True)
    for _ in range(limit):
        effort.spend(len(graph.source) * words + graph.size)
        arrived = np.bitwise_or.reduceat(front[graph.source], first, axis=0)
        new = arrived & ~reached[heads]
        if not new.any():
            return None, False
        reached[heads] |= new
        front = np.zeros_like(reached)
        front[heads] = new
        hit = np.flatnonzero((reached[goals, word] >> bit) & np.uint64(1))
        if len(hit):
            return (int(starts[hit[0]]), int(goals[hit[0]])), False
    return None, True


def _path(graph: Graph, start: int, goal: int, effort: Effort) -> list[int] | None:
    return _Trees(graph, effort).path(start, np.array([goal]), graph.size)


def _farther(graph: Graph, starts: Ints, goals: Ints, effort: Effort) -> list[int] | None:
    """Look from each start alone: for the few components whose shortest cycles are long."""
    best: list[int] | None = None
    trees = _Trees(graph, effort)
    order = np.argsort(starts, kind="stable")
    begins = np.flatnonzero(np.append(True, starts[order][1:] != starts[order][:-1])).tolist()
    for begin, end in itertools.pairwise([*begins, len(order)]):
        longest = graph.size if best is None else len(best) - 1
        best = trees.path(int(starts[order[begin]]), goals[order[begin:end]], longest) or best
    return best


class _Trees:
    """Breadth-first trees of one graph."""

    def __init__(self, graph: Graph, effort: Effort) -> None:
        weights = np.ones(len(graph.source), np.int8)
        self._matrix = csr_array((weights, (graph.source, graph.target)), shape=(graph.size, graph.size))
        self._size, self._cost, self._effort = graph.size, len(graph.source) + graph.size, effort

    def path(self, start: int, goals: Ints, longest: int) -> list[int] | None:
        """Return the shortest path from *start* to the nearest of *goals*, of *longest* nodes at most."""
        self._effort.spend(self._cost)
        order, before = breadth_first_order(self._matrix, start, directed=True, return_predecessors=True)
        place = np.full(self._size, self._size)
        place[order] = np.arange(len(order))
        goal = int(goals[np.argmin(place[goals])])
        if place[goal] == self._size:
            return None
        path, tree = [goal], before.tolist()
        while path[-1] != start and len(path) < longest:
            path.append(tree[path[-1]])
        return path[::-1] if path[-1] == start else None
