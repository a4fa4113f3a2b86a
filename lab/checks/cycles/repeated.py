"""What transactions that touch a key more than once do with it, in order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lab.checks.cycles.columns import FAIL, READ, WRITE, Flags, Ints, Transactions

FEW = 8
"""Micro-operations up to which those of a transaction are compared two by two; sorting pays for longer ones only."""


@dataclass(frozen=True)
class Repeated:
    """The micro-operations of transactions that touch a key more than once, grouped by both, in order.

    *last_read*, *last_write*, *next_read* are places in *micro* (-1: none) of others of the group, before and after.
    *writes* counts writes up to here, itself included: a difference of two counts those between.
    """

    micro: Ints
    first: Flags
    writes: Ints
    last_read: Ints
    last_write: Ints
    next_read: Ints
    later_write: Flags


def repeated(t: Transactions) -> Repeated:
    """Return what transactions that touch a key twice do with it."""
    group = t.owner.astype(np.int64) * max(len(t.keys), 1) + t.key
    twice = np.flatnonzero(_twice(t, group) & (t.outcome[t.owner] != FAIL))
    order = np.argsort(group[twice], kind="stable")
    micro = twice[order]
    group = group[micro]
    first = np.append(True, group[1:] != group[:-1])[: len(micro)]
    read = (t.kind[micro] == READ) & t.known[micro]
    write = t.kind[micro] == WRITE
    return Repeated(
        micro,
        first,
        np.cumsum(write),
        _last(read, first),
        _last(write, first),
        _next(read, first),
        _next(write, first) >= 0,
    )


def _last(chosen: Flags, first: Flags) -> Ints:
    """Return the place of the last chosen one of the group before each, -1 if there is none."""
    place = np.arange(len(first))
    last = np.append(-1, np.maximum.accumulate(np.where(chosen, place, -1)))[:-1]
    begin = np.maximum.accumulate(np.where(first, place, 0))
    return np.where(last >= begin, last, -1)


def _next(chosen: Flags, first: Flags) -> Ints:
    """Return the place of the next chosen one of the group after each, -1 if there is none."""
    place, size = np.arange(len(first)), len(first)
    following = np.append(np.minimum.accumulate(np.where(chosen, place, size)[::-1])[::-1], size)[1:]
    ends = np.append(np.flatnonzero(first)[1:], size)
    return np.where(following < ends[np.cumsum(first) - 1], following, -1)


def _twice(t: Transactions, group: Ints) -> Flags:
    """Tell of each micro-operation whether its transaction touches its key more than once."""
    twice = np.zeros(len(group), np.bool_)
    for distance in range(1, min(FEW, len(group))):
        same = group[distance:] == group[:-distance]
        twice[distance:] |= same
        twice[:-distance] |= same
    long = np.flatnonzero(np.bincount(t.owner, minlength=1)[t.owner] > FEW)
    _, number, count = np.unique(group[long], return_inverse=True, return_counts=True)
    twice[long] = count[number] > 1
    return twice
