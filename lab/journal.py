"""The journal: one JSON object a line, enough to check a run again years later without a database.

Every operation is written before it begins and after it ended, so a journal that was cut tells what was under way.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import msgspec

from lab.assembler import Assembler, Journal
from lab.errors import EnvironmentProblem, MalformedFile
from lab.history import Operation
from lab.records import (
    FORMAT,
    Armed,
    Closed,
    Completed,
    Ended,
    Gauge,
    Healed,
    Invoked,
    Judged,
    Phase,
    Record,
    Run,
)

__all__ = [
    "FORMAT",
    "Armed",
    "Assembler",
    "Closed",
    "Completed",
    "Ended",
    "Gauge",
    "Healed",
    "Invoked",
    "Journal",
    "JournalWriter",
    "Judged",
    "Phase",
    "Record",
    "Run",
    "read_journal",
    "stream_operations",
]

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a line of garbage can raise."""


class JournalWriter:
    """Writes records as they happen; each line reaches the operating system at once, so kill -9 loses none.

    Raises EnvironmentProblem when the disk is full or the folder cannot be written, and from then on for every record:
    a line that was written in part has to stay the last one.
    """

    _encoder: ClassVar[msgspec.json.Encoder] = msgspec.json.Encoder()

    def __init__(self, path: Path) -> None:
        self.path = path
        self._problem: EnvironmentProblem | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("wb", buffering=0)
        except OSError as error:
            raise _unwritable(path, error) from error

    def write(self, record: Record) -> None:
        """Append a record."""
        if self._problem is not None:
            raise self._problem
        rest = memoryview(self._encoder.encode(record) + b"\n")
        try:
            while rest:  # a disk that is nearly full takes a part
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._problem = _unwritable(self.path, error)
            raise self._problem from error

    def __enter__(self) -> JournalWriter:
        """Return the writer itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()


def _unwritable(path: Path, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"cannot write the journal {path}: {error.strerror or os.strerror(error.errno or 0)}",
        "free some space or name another folder with --report",
    )


def read_journal(path: Path) -> Journal:
    """Read a journal, also one that was cut in the middle.

    Raises MalformedFile, naming the line, for anything that is no journal. A last line without its newline counts if it
    is a whole record; otherwise it was cut, and is left out.
    """
    assembler = Assembler()
    deque(_assembled(assembler, path), maxlen=0)
    return assembler.journal()


def stream_operations(path: Path) -> Iterator[Operation]:
    """Yield each operation of a journal when it ends, and then those that did not; only open ones are in memory.

    Raises MalformedFile as `read_journal` does, when it gets there.
    """
    done: deque[Operation] = deque()
    assembler = Assembler(done.append)
    for _ in _assembled(assembler, path):
        while done:
            yield done.popleft()
    yield from assembler.unfinished()


def _assembled(assembler: Assembler, path: Path) -> Iterator[None]:
    for number, record in _records(path):
        try:
            assembler.take(record)
        except ValueError as error:
            raise MalformedFile(str(path), number, str(error)) from error
        yield
    if assembler.run is None:
        raise MalformedFile(str(path), 1, "empty: a journal begins with the record of its run")


def _records(path: Path) -> Iterator[tuple[int, Record]]:
    decoder: msgspec.json.Decoder[Record] = msgspec.json.Decoder(Record)
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    record = decoder.decode(line)
                except UNREADABLE as error:
                    if not line.endswith(b"\n"):  # the last one: it was cut
                        return
                    if line.strip():
                        raise MalformedFile(str(path), number, str(error)) from error
                else:
                    yield number, record
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error
