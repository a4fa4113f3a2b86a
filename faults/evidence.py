"""The record that a fault fired: which connections it touched, how often, how many bytes, since when."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_CONNECTIONS = 1_000
"""Connections listed one by one in a record; beyond that they are only counted."""

MOST_COUNTED = 100_000
"""Connections beyond the listed ones that a record tells apart; its count stops there."""

MOST_ENDED = 1_000
"""Records kept of faults that have ended; the oldest make room."""

MOST_LISTED = 20_000
"""Connections listed in all records of ended faults together; the oldest make room."""


@dataclass(slots=True)
class Touched:
    """What a fault did to one connection; *client* is the address at the far end, host:port."""

    connection: int
    client: str
    events: int = 0
    bytes: int = 0


@dataclass(slots=True, eq=False)
class Record:
    """What one fault did. Times are seconds since the epoch, None where it did not happen (yet)."""

    proxy: str
    name: str
    kind: str
    stream: str | None = None
    since: float = field(default_factory=time.time)
    until: float | None = None
    first: float | None = None
    last: float | None = None
    events: int = 0
    bytes: int = 0
    connections: int = 0
    touched: dict[int, Touched] = field(default_factory=dict)
    _unlisted: set[int] = field(default_factory=set)

    def note(self, connection: int, client: str, size: int = 0) -> None:
        """Count one event of *size* bytes on a connection; nothing happens any more once the record has ended."""
        if self.until is not None:
            return
        self.last = time.time()
        if self.first is None:
            self.first = self.last
        self.events += 1
        self.bytes += size
        entry = self.touched.get(connection) or self._entry(connection, client)
        if entry is not None:
            entry.events += 1
            entry.bytes += size

    def end(self) -> None:
        """Note that the fault is no longer in force."""
        self.until = time.time()
        self._unlisted.clear()

    def _entry(self, connection: int, client: str) -> Touched | None:
        if len(self.touched) < MOST_CONNECTIONS:
            self.connections += 1
            return self.touched.setdefault(connection, Touched(connection, client))
        if connection not in self._unlisted and len(self._unlisted) < MOST_COUNTED:
            self._unlisted.add(connection)
            self.connections += 1
        return None


class EvidenceBook:
    """All records of a server: those of faults in force, and the latest of those that have ended."""

    def __init__(self) -> None:
        self._open: dict[int, Record] = {}
        self._ended: deque[Record] = deque()
        self._listed = 0

    def open(self, proxy: str, name: str, kind: str, stream: str | None = None) -> Record:
        """Begin the record of a fault that takes effect now."""
        record = Record(proxy, name, kind, stream)
        self._open[id(record)] = record
        return record

    def end(self, record: Record) -> None:
        """Note that the fault is no longer in force."""
        record.end()
        del self._open[id(record)]
        self._ended.append(record)
        self._listed += len(record.touched)
        while len(self._ended) > MOST_ENDED or (self._listed > MOST_LISTED and len(self._ended) > 1):
            self._listed -= len(self._ended.popleft().touched)

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, the oldest first."""
        return iter(sorted([*self._ended, *self._open.values()], key=lambda record: record.since))

    def clear(self) -> None:
        """Forget what has ended."""
        self._ended.clear()
        self._listed = 0
