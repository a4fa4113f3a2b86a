"""The journal: one JSON object a line, enough to check a run again years later without a database.

Every operation is written before it begins and after it ended, so a journal that was cut tells what was under way.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import msgspec

from lab.errors import EnvironmentProblem, MalformedFile
from lab.history import FaultSpan, Final, History, Operation, Outcome
from lab.records import (
    FORMAT,
    Armed,
    Closed,
    Completed,
    Ended,
    Healed,
    Invoked,
    Judged,
    Phase,
    Record,
    Run,
)
from lab.verdict import Finding, Verdict

__all__ = [
    "FORMAT",
    "Armed",
    "Assembler",
    "Closed",
    "Completed",
    "Ended",
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


class Journal(msgspec.Struct, frozen=True):
    """A journal that was read: the run, its history, and the verdicts that were reached at the time.

    *verdict* is None if the run did not get there; `history.complete` is False if the file was cut.
    """

    run: Run
    history: History
    findings: tuple[Finding, ...]
    verdict: Verdict | None


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
                if not line.endswith(b"\n"):
                    with contextlib.suppress(*UNREADABLE):
                        yield number, decoder.decode(line)
                    return
                if line.strip():
                    yield number, _decode(decoder, line, path, number)
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error


def _decode(decoder: msgspec.json.Decoder[Record], line: bytes, path: Path, number: int) -> Record:
    try:
        return decoder.decode(line)
    except UNREADABLE as error:
        raise MalformedFile(str(path), number, str(error)) from error


class Assembler:
    """Puts records together to a history; the live run and the reader of a file use the same one.

    Operations that ended go to *done* if it is given, and are kept for the history otherwise.
    """

    def __init__(self, done: Callable[[Operation], None] | None = None) -> None:
        self.run: Run | None = None
        self._begun = _Indexes()
        self._open: dict[int, Invoked] = {}
        self._kept: list[Operation] = []
        self._done = done or self._kept.append
        self._spans: list[FaultSpan] = []
        self._findings: list[Finding] = []
        self._final: Final | None = None
        self._verdict: Verdict | None = None

    def take(self, record: Record) -> None:
        """Add a record; raise ValueError for one that does not fit those before it."""
        if self.run is None and not isinstance(record, Run):
            raise ValueError("not a journal: its first line must be the record of the run")
        if self._verdict is not None:
            raise ValueError("a record after the end of the run")
        match record:
            case Invoked():
                self._invoke(record)
            case Completed():
                self._complete(record)
            case Healed():
                self._spans.append(record.span)
            case Ended():
                self._end(record)
            case Judged():
                self._findings.append(record.finding)
            case Closed():
                self._verdict = record.verdict
            case Run():
                self._begin(record)
            case _:
                pass

    def _begin(self, run: Run) -> None:
        if self.run is not None:
            raise ValueError("a second record of a run in one journal")
        if run.format > FORMAT:
            raise ValueError(f"format {run.format} is newer than this program; upgrade it")
        if not isinstance(run.plan.get("steps"), list):
            raise ValueError("its plan has no list of steps")
        self.run = run

    def _invoke(self, record: Invoked) -> None:
        if not self._begun.add(record.index):
            raise ValueError(f"operation {record.index} begins a second time")
        self._open[record.index] = record

    def _end(self, record: Ended) -> None:
        if self._final is not None:
            raise ValueError("a second record of final observations")
        self._final = record.final

    def _complete(self, record: Completed) -> None:
        invoked = self._open.pop(record.index, None)
        if invoked is None:
            raise ValueError(f"operation {record.index} ends without having begun")
        if record.at < invoked.at:
            raise ValueError(f"operation {record.index} ends before it began")
        self._done(_operation(invoked, record))

    def unfinished(self) -> Iterator[Operation]:
        """Yield the operations that have begun and not ended."""
        return (_operation(invoked, None) for invoked in self._open.values())

    def history(self, *, complete: bool) -> History:
        """Return what happened so far; operations that have not ended are of unknown outcome."""
        steps = self.run.plan.get("steps") if self.run is not None else None
        planned = len(steps) if isinstance(steps, list) else 0
        operations = sorted([*self._kept, *self.unfinished()], key=lambda operation: operation.index)
        spans = sorted(self._spans, key=lambda span: span.step)
        return History(tuple(operations), tuple(spans), planned, self._final, complete)

    def journal(self) -> Journal:
        """Return everything; a journal without its last line is incomplete. Raises ValueError without a run."""
        if self.run is None:
            raise ValueError("a journal begins with the record of its run")
        history = self.history(complete=self._verdict is not None)
        return Journal(self.run, history, tuple(self._findings), self._verdict)


class _Indexes:
    """The indexes seen so far; they come almost in order, so all below a first one need not be held one by one."""

    def __init__(self) -> None:
        self._first = 0
        self._others: set[int] = set()

    def add(self, index: int) -> bool:
        """Add an index; return whether it is new."""
        if index == self._first:
            self._first += 1
            while self._first in self._others:
                self._others.remove(self._first)
                self._first += 1
            return True
        if 0 <= index < self._first or index in self._others:
            return False
        self._others.add(index)
        return True


def _operation(invoked: Invoked, completed: Completed | None) -> Operation:
    return Operation(
        index=invoked.index,
        process=invoked.process,
        kind=invoked.kind,
        value=invoked.value,
        unit=invoked.unit,
        invoked=invoked.at,
        outcome=completed.outcome if completed else Outcome.INFO,
        completed=completed.at if completed else None,
        result=completed.result if completed else None,
        attempts=completed.attempts if completed else 0,
        errors=completed.errors if completed else (),
    )
