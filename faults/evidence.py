"""The record that a fault fired: which connections it touched, how often, how many bytes, since when."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

MOST_CONNECTIONS = 1_000
"""Connections listed one by one in a record; beyond that they are only counted."""

MOST_ENDED = 1_000
"""Records kept of faults that have ended; the oldest make room."""


@dataclass(slots=True)
class Touched:
    """What a fault did to one connection; *client* is the address at the far end, host:port."""

    connection: int
    client: str
    events: int = 0
    bytes: int = 0


@dataclass(slots=True)
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
    touched: dict[int, Touched] = field(default_factory=dict)
    unlisted: set[int] = field(default_factory=set)

    def note(self, connection: int, client: str, size: int = 0) -> None:
        """Count one event of *size* bytes on a connection."""
        self.last = time.time()
        if self.first is None:
            self.first = self.last
        self.events += 1
        self.bytes += size
        entry = self.touched.get(connection)
        if entry is None:
            if len(self.touched) >= MOST_CONNECTIONS:
                self.unlisted.add(connection)
                return
            entry = self.touched[connection] = Touched(connection, client)
        entry.events += 1
        entry.bytes += size

    @property
    def connections(self) -> int:
        """How many connections were touched."""
        return len(self.touched) + len(self.unlisted)


class EvidenceBook:
    """All records of a server: those of faults in force, and the latest of those that have ended."""

    def __init__(self) -> None:
        self._open: list[Record] = []
        self._ended: deque[Record] = deque(maxlen=MOST_ENDED)

    def open(self, proxy: str, name: str, kind: str, stream: str | None = None) -> Record:
        """Begin the record of a fault that takes effect now."""
        record = Record(proxy, name, kind, stream)
        self._open.append(record)
        return record

    def end(self, record: Record) -> None:
        """Note that the fault is no longer in force."""
        record.until = time.time()
        self._open.remove(record)
        self._ended.append(record)

    def __iter__(self) -> Iterator[Record]:
        """Yield every record, the oldest first."""
        return iter(sorted([*self._ended, *self._open], key=lambda record: record.since))

    def clear(self) -> None:
        """Forget what has ended."""
        self._ended.clear()
