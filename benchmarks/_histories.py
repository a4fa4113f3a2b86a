"""Histories of a given size, made by executing transactions one after the other: valid by construction."""

from __future__ import annotations

import heapq
from random import Random
from typing import cast

from lab.history import History, Json, Operation, Outcome


def list_append(
    transactions: int, *, seed: int = 1, clients: int = 20, keys: int = 10, longest: int = 32
) -> list[Operation]:
    """Return transactions of 1 to 4 micro-operations, half of them reads, that overlap with *clients* others.

    *keys* are in use at once, and each gets *longest* appends before another takes its place (as Elle's generator).
    """
    random = Random(seed)
    active = list(range(keys))
    lists: dict[int, list[int]] = {key: [] for key in active}
    free = [(0.0, client) for client in range(clients)]
    operations = []
    for number in range(transactions):
        idle_since, client = heapq.heappop(free)
        moment = max(float(number), idle_since)
        body: list[list[object]] = []
        for _ in range(random.randint(1, 4)):
            place = random.randrange(keys)
            key = active[place]
            if random.random() < 0.5:
                body.append(["r", key, lists[key].copy()])
                continue
            lists[key].append(len(lists[key]) + 1)
            body.append(["append", key, lists[key][-1]])
            if len(lists[key]) == longest:
                del lists[key]
                active[place] = max(active) + 1
                lists[active[place]] = []
        end = moment + random.random() * clients
        heapq.heappush(free, (end, client))
        begin = max(idle_since, moment - random.random() * clients)
        operations.append(Operation(number, client, "txn", None, Outcome.OK, begin, end, cast("Json", body)))
    return operations


def stale_reads(transactions: int, *, seed: int = 1, keys: int = 40, lag: int = 25) -> History:
    """Return transactions that read states up to *lag* transactions old and append: most depend on each other."""
    random = Random(seed)
    states: list[dict[int, list[int]]] = [{key: [] for key in range(keys)}]
    operations = []
    for number in range(transactions):
        snapshot = states[max(0, len(states) - 1 - random.randrange(lag))]
        body: list[list[object]] = [["r", key, snapshot[key]] for key in random.sample(range(keys), 2)]
        key = random.randrange(keys)
        states.append({**states[-1], key: [*states[-1][key], number]})
        body.append(["append", key, number])
        operations.append(_done(number, body, float(number), float(number + lag + 1)))
    return History(tuple(operations))


def long_cycle(transactions: int) -> History:
    """Return transactions that each miss the append of the next: one cycle, which no shorter one is in."""
    bodies: list[list[list[object]]] = [
        [["r", number, []], ["append", (number + 1) % transactions, 1]] for number in range(transactions)
    ]
    return History(tuple(_done(number, body, 0.0, 1.0) for number, body in enumerate(bodies)))


def _done(number: int, body: list[list[object]], begin: float, end: float) -> Operation:
    return Operation(number, number, "txn", None, Outcome.OK, begin, end, cast("Json", body))
