"""What transactions that touch a key more than once do with it, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.checks.cycles.columns import FAIL, READ, WRITE, Flags, Ints, Transactions


@dataclass(frozen=True)
class Repeated:
    """The micro-operations of transactions that touch a key more than once, grouped by both, in order.

    *previous* and *next_read* are places in *micro* (-1: none): of the read of the group before, and the one after.
    *writes* counts writes up to here, itself included: a difference of two counts those between.
    """

    micro: Ints
    writes: Ints
    previous: Ints
    next_read: Ints
    later_write: Flags
    first: Flags


def repeated(t: Transactions) -> Repeated:
    """Return what transactions that touch a key twice do with it."""
    twice = np.flatnonzero(_twice(t.owner, t.key) & (t.outcome[t.owner] != FAIL))
    group = t.owner[twice].astype(np.int64) * max(len(t.keys), 1) + t.key[twice]
    order = np.argsort(group, kind="stable")
    micro, group = twice[order], group[order]
    place = np.arange(len(micro))
    first = np.append(True, group[1:] != group[:-1])[: len(micro)]
    begins = np.maximum.accumulate(np.where(first, place, 0))
    ends = np.append(np.flatnonzero(first)[1:], len(micro))
    end = ends[np.cumsum(first) - 1] if len(micro) else place
    read = (t.kind[micro] == READ) & t.known[micro]
    write = t.kind[micro] == WRITE
    last_read = np.append(-1, np.maximum.accumulate(np.where(read, place, -1)))[: len(micro)]
    next_read = np.append(np.minimum.accumulate(np.where(read, place, len(micro))[::-1])[::-1], len(micro))[1:]
    last_write = np.append(np.minimum.accumulate(np.where(write, place, len(micro))[::-1])[::-1], len(micro))[1:]
    return Repeated(
        micro,
        np.cumsum(write),
        np.where(last_read >= begins, last_read, -1),
        np.where(next_read < end, next_read, -1),
        last_write < end,
        first,
    )


def _twice(owner: Ints, key: Ints) -> Flags:
    """Tell of each micro-operation whether its transaction touches its key more than once."""
    twice = np.zeros(len(owner), np.bool_)
    distance = 1
    while distance < len(owner):
        near = owner[distance:] == owner[:-distance]
        if not near.any():
            break
        same = near & (key[distance:] == key[:-distance])
        twice[distance:] |= same
        twice[:-distance] |= same
        distance += 1
    return twice
