"""Histories in files, as streams of operations or as values."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from lab.errors import MalformedFile
from lab.formats.detect import Format, detect
from lab.formats.events import Event, Problem, pair
from lab.formats.jepsen import edn_events, json_events, log_events
from lab.history import History, Operation
from lab.journal import read_journal, stream_operations

EVENTS: dict[Format, Callable[[BinaryIO], Iterator[Event]]] = {
    Format.EDN: edn_events,
    Format.JSON: json_events,
    Format.LOG: log_events,
}


def read_operations(path: Path, *, format: Format | None = None) -> Iterator[Operation]:  # noqa: A002 - its name
    """Yield each operation of a file when it completes, and in the end those that never did (outcome INFO).

    The format is told by the content unless it is given. Operations that are under way are held in memory, no others.
    `index` counts in order of invocation. The times of a journal are seconds; those of the other formats are the
    positions of the events. A journal may be cut, the others may not: raises MalformedFile, naming the line.
    """
    chosen = detect(path) if format is None else format
    return stream_operations(path) if chosen is Format.JOURNAL else _history(path, EVENTS[chosen])


def read_history(path: Path, *, format: Format | None = None) -> History:  # noqa: A002 - its name
    """Return the history in a file, operations in order of invocation; of a journal also its faults and final state.

    Raises MalformedFile, naming the line, for what is no history.
    """
    chosen = detect(path) if format is None else format
    if chosen is Format.JOURNAL:
        return read_journal(path).history
    return History(tuple(sorted(_history(path, EVENTS[chosen]), key=lambda operation: operation.index)))


def _history(path: Path, events: Callable[[BinaryIO], Iterator[Event]]) -> Iterator[Operation]:
    try:
        with path.open("rb") as file:
            yield from pair(events(file))
    except Problem as problem:
        raise MalformedFile(str(path), problem.line, problem.problem) from problem
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error
