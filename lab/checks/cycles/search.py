"""Cycles of dependencies: strongly connected components, and in each the shortest witness of every kind.

Kinds after Adya, searched as Elle does: G0 has ww only; G1c ww and wr, one wr at least; G-single one rw; G-nonadjacent
two rw or more, no two in a row; G2-item two rw or more. A kind that needs the order of processes or of real time
for its cycle is called by that, and only if it cannot be found without.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from lab.checks.cycles.columns import Ints, Transactions
from lab.checks.cycles.edges import (
    PROCESS,
    REALTIME,
    RW,
    WR,
    WW,
    Edges,
    joined,
    process_edges,
    realtime_chain,
    realtime_closure,
    realtime_edges,
)
from lab.checks.cycles.names import CYCLES
from lab.checks.cycles.paths import Effort, Exhausted, Graph, shortest

CLOSED = 1_500
"""Transactions of a component of which the whole real-time order is used, and not only its shortest description."""

DATA = (WW, WR, RW)

COST = 250_000
"""What it takes to look at a component at all, however small it is."""

UNSEARCHED, UNSEARCHED_ORDER = "unsearched", "unsearched-order"
"""In the place of a name: components, of the data or of order, that the effort did not suffice for."""


class Step(NamedTuple):
    """A dependency on a cycle, between transactions; see `Edges`."""

    source: int
    target: int
    kind: int
    write: int
    read: int


Cycle: TypeAlias = tuple[str, list[Step]]
"""The name of a kind, and its steps in order."""


@dataclass(frozen=True)
class Component:
    """A strongly connected component: *members* (transactions) and the *edges* among them, numbered by member."""

    members: Ints
    edges: Edges

    def step(self, source: int, target: int, kinds: tuple[int, ...]) -> Step:
        """Return the edge from one member to another, of the first of *kinds* that there is."""
        e = self.edges
        places = np.flatnonzero((e.source == source) & (e.target == target)).tolist()
        place = min((p for p in places if e.kind[p] in kinds), key=lambda p: (kinds.index(int(e.kind[p])), p))
        return self.at(place)

    def at(self, place: int) -> Step:
        """Return the edge at a place."""
        e = self.edges
        source, target = int(self.members[e.source[place]]), int(self.members[e.target[place]])
        return Step(source, target, int(e.kind[place]), int(e.write[place]), int(e.read[place]))

    def along(self, nodes: list[int], kinds: tuple[int, ...]) -> list[Step]:
        """Return the edges from each of *nodes* to the next."""
        return [self.step(one, other, kinds) for one, other in itertools.pairwise(nodes)]


def components(transactions: Transactions, data: Edges, *, process: bool, realtime: bool) -> Iterator[Component]:
    """Yield the components of two transactions or more, the smallest first."""
    n = len(transactions)
    parts = [data, process_edges(transactions)] if process else [data]
    sources, targets, size = [part.source for part in parts], [part.target for part in parts], n
    if realtime:
        before, after, completions = realtime_chain(transactions)
        sources, targets, size = [*sources, before], [*targets, after], size + completions
    source, target = (np.concatenate(columns, dtype=np.int32) for columns in (sources, targets))
    matrix = csr_array((np.ones(len(source), np.int8), (source, target)), shape=(size, size))
    del sources, targets, source, target
    count, component = connected_components(matrix, directed=True, connection="strong")
    if count < size:
        yield from _split(transactions, joined(parts), component[:n], realtime=realtime)


def _split(transactions: Transactions, known: Edges, component: Ints, *, realtime: bool) -> Iterator[Component]:
    sizes = np.bincount(component)
    members = np.flatnonzero(sizes[component] > 1)
    members = members[np.lexsort((members, component[members], sizes[component[members]]))]
    inner = known.where((component[known.source] == component[known.target]) & (sizes[component[known.source]] > 1))
    inner = inner.where(np.argsort(component[inner.source], kind="stable"))
    edge_component = component[inner.source]
    number = np.full(len(component), -1)
    starts = np.flatnonzero(np.append(True, component[members][1:] != component[members][:-1]))
    for own in np.split(members, starts[1:]) if len(members) else []:
        label = component[own[0]]
        part = inner.where(np.arange(*np.searchsorted(edge_component, (label, label + 1))))
        if realtime:
            order = realtime_closure if len(own) <= CLOSED else realtime_edges
            part = joined((part, order(transactions, own)))
        number[own] = np.arange(len(own))
        yield Component(own, Edges(number[part.source], number[part.target], part.kind, part.write, part.read))


def cycles(
    transactions: Transactions, data: Edges, effort: Effort, *, process: bool, realtime: bool
) -> Iterator[Cycle]:
    """Yield the shortest cycle of every kind in every component.

    Cycles of the data alone are looked for first. In a component that only holds together by the order of processes or
    of real time, kinds that were found without are not looked for again. When the effort is used up, the last to come
    are some cycle of the data, if there is one and none was found, and UNSEARCHED or UNSEARCHED_ORDER without steps.
    """
    order = process or realtime
    if next(components(transactions, data, process=process, realtime=realtime), None) is None:
        return
    found = np.zeros(len(transactions), np.uint8)  # by transaction, a bit for each kind
    component = None
    try:
        for component in components(transactions, data, process=False, realtime=False):
            for place, steps in _of_data(component, effort):
                found[component.members] |= 1 << place
                yield CYCLES[place], steps
    except Exhausted:
        if component is not None and not found[component.members].any():
            yield _any_cycle(component)
        yield UNSEARCHED, []
    try:
        for component in components(transactions, data, process=process, realtime=realtime) if order else ():
            yield from _of_order(transactions, component, effort, int(np.bitwise_or.reduce(found[component.members])))
    except Exhausted:
        yield UNSEARCHED_ORDER, []


def _of_data(component: Component, effort: Effort) -> Iterator[tuple[int, list[Step]]]:
    effort.spend(COST)
    if len(component.edges) == len(component.members):  # there is one cycle, and no other
        name, only = _any_cycle(component)
        yield CYCLES.index(name), only
        return
    for place, name in enumerate(CYCLES):
        steps = SEARCHES[name](component, (), effort)
        if steps:
            yield place, steps


def _of_order(transactions: Transactions, component: Component, effort: Effort, known: int) -> Iterator[Cycle]:
    extra: tuple[int, ...] = ()
    for suffix, kind in (("-process", PROCESS), ("-realtime", REALTIME)):
        if not (component.edges.kind == kind).any():
            continue
        extra += (kind,)
        for place, name in enumerate(CYCLES):
            if known >> place & 1:
                continue
            effort.spend(COST)
            quick = _against_the_clock(transactions, component, name) if kind == REALTIME else None
            steps = quick or SEARCHES[name](component, extra, effort)
            if steps:
                known |= 1 << place
                yield f"{name}{suffix}", steps


def _any_cycle(component: Component) -> Cycle:
    """Return some cycle of a component, in time that grows with the component only."""
    e = component.edges
    nodes = shortest(Graph.of(len(component.members), e.source, e.target), e.target[:1], e.source[:1], Effort(1 << 62))
    if nodes is None:
        raise AssertionError("every edge of a strongly connected component is on a cycle")
    steps = component.along([*nodes, nodes[0]], DATA)
    return _kind_of([step.kind for step in steps]), steps


def _kind_of(kinds: list[int]) -> str:
    """Return the name of a cycle of these kinds of dependencies of the data."""
    if RW not in kinds:
        return "G1c" if WR in kinds else "G0"
    if kinds.count(RW) == 1:
        return "G-single"
    in_a_row = any(one == other == RW for one, other in itertools.pairwise([*kinds, kinds[0]]))
    return "G2-item" if in_a_row else "G-nonadjacent"


_ALONE = {"G0": WW, "G1c": WR, "G-single": RW}


def _against_the_clock(transactions: Transactions, component: Component, name: str) -> list[Step] | None:
    """Return a cycle of two: a dependency on what had not begun yet. No witness is shorter, none is found faster."""
    e, members = component.edges, component.members
    late = transactions.end[members[e.target]] < transactions.begin[members[e.source]]
    places = np.flatnonzero(late & (e.kind == _ALONE.get(name, -1)))
    if not len(places):
        return None
    step = component.at(int(places[0]))
    return [step, Step(step.target, step.source, REALTIME, -1, -1)]


def _close(component: Component, closing: int, through: tuple[int, ...], effort: Effort) -> list[Step] | None:
    """Return the shortest cycle of one edge of kind *closing* and any of kinds *through*."""
    e = component.edges
    last = e.kind == closing
    chosen = np.isin(e.kind, through)
    graph = Graph.of(len(component.members), e.source[chosen], e.target[chosen])
    nodes = shortest(graph, e.target[last], e.source[last], effort)
    if nodes is None:
        return None
    return [*component.along(nodes, through), component.step(nodes[-1], nodes[0], (closing,))]


def _dirty_write(component: Component, extra: tuple[int, ...], effort: Effort) -> list[Step] | None:
    return _close(component, WW, (WW, *extra), effort)


def _circular_flow(component: Component, extra: tuple[int, ...], effort: Effort) -> list[Step] | None:
    return _close(component, WR, (WW, WR, *extra), effort)


def _single(component: Component, extra: tuple[int, ...], effort: Effort) -> list[Step] | None:
    return _close(component, RW, (WW, WR, *extra), effort)


def _nonadjacent(component: Component, extra: tuple[int, ...], effort: Effort) -> list[Step] | None:
    """Two rw edges or more, none after another.

    Nodes are taken four times: whether the last edge was rw, and whether a second rw is among them already. A walk that
    visits a transaction twice is made of smaller cycles, of which one is as bad or worse: then it is no news.
    """
    e, size = component.edges, len(component.members)
    rw, other = e.kind == RW, np.isin(e.kind, (WW, WR, *extra))
    if not rw.any() or not other.any():
        return None
    skip, step = (e.source[rw], e.target[rw]), (e.source[other], e.target[other])
    just, calm, just_again, calm_again = (layer * size for layer in range(4))
    moves = [(just, calm, step), (calm, calm, step), (just_again, calm_again, step), (calm_again, calm_again, step)]
    moves += [(calm, just_again, skip), (calm_again, just_again, skip)]
    source = np.concatenate([begin + pair[0] for begin, _, pair in moves])
    target = np.concatenate([end + pair[1] for _, end, pair in moves])
    nodes = shortest(Graph.of(4 * size, source, target), just + e.target[rw], calm_again + e.source[rw], effort)
    if nodes is None or len({node % size for node in nodes}) < len(nodes):
        return None
    steps = [
        component.step(one % size, node % size, (RW,) if node // size == 2 else (WW, WR, *extra))
        for one, node in itertools.pairwise(nodes)
    ]
    return [*steps, component.step(nodes[-1] % size, nodes[0] % size, (RW,))]


def _write_skew(component: Component, extra: tuple[int, ...], effort: Effort) -> list[Step] | None:
    """Two rw edges in a row at least: from a transaction that is left by rw, to one that comes back to it by rw."""
    e, size = component.edges, len(component.members)
    rw, every = e.kind == RW, np.isin(e.kind, (*DATA, *extra))
    back = np.flatnonzero(rw & np.isin(e.target, e.source[rw]))
    source = np.concatenate((e.source[every], size + e.source[rw]))
    target = np.concatenate((e.target[every], e.target[rw]))
    nodes = shortest(Graph.of(2 * size, source, target), size + e.target[back], e.source[back], effort)
    if nodes is None or nodes[0] - size in nodes[1:]:
        return None
    middle, between = nodes[0] - size, nodes[1:]
    first, last = component.step(middle, between[0], (RW,)), component.step(between[-1], middle, (RW,))
    return [first, *component.along(between, (WW, WR, *extra, RW)), last]


Search: TypeAlias = Callable[[Component, tuple[int, ...], Effort], list[Step] | None]

SEARCHES: dict[str, Search] = {
    "G0": _dirty_write,
    "G1c": _circular_flow,
    "G-single": _single,
    "G-nonadjacent": _nonadjacent,
    "G2-item": _write_skew,
}
