"""The run's clock and its record: every event goes to the journal and into the history at once."""

from __future__ import annotations

import time
from collections.abc import Callable

from lab.history import History
from lab.journal import Assembler, JournalWriter, Record


class Recorder:
    """Writes records with the time since the start, in seconds."""

    def __init__(self, writer: JournalWriter) -> None:
        self._writer = writer
        self._assembler = Assembler()
        self._clock = time.monotonic  # an event loop may count in whole milliseconds only
        self._start = self._clock()
        self._listeners: list[Callable[[Record], None]] = []

    def listen(self, listener: Callable[[Record], None]) -> None:
        """Have *listener* told of every record from now on; it must return at once."""
        self._listeners.append(listener)

    def now(self) -> float:
        """Return the seconds since the start."""
        return round(self._clock() - self._start, 6)

    def record(self, record: Record) -> None:
        """Put a record into the journal and the history."""
        self._writer.write(record)
        self._assembler.take(record)
        for listener in self._listeners:
            listener(record)

    @property
    def assembler(self) -> Assembler:
        """What was recorded so far."""
        return self._assembler

    def history(self) -> History:
        """Return what happened so far."""
        return self._assembler.history(complete=True)
