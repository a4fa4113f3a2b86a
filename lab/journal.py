"""The journal: one JSON object a line, enough to check a run again years later without a database.

Every operation is written before it begins and after it ended, so a journal that was cut tells what was under way.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import ClassVar, TypeAlias

import msgspec

from lab.errors import EnvironmentProblem, MalformedFile
from lab.history import FaultSpan, Final, History, Json, Operation, Outcome
from lab.verdict import Finding, Verdict

FORMAT = 1
"""Version of the format; a reader refuses a newer one."""

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What decoding a line of garbage can raise."""


class Run(msgspec.Struct, frozen=True, tag="run", tag_field="record"):
    """First line: what is going to happen. *started* is RFC 3339; *plan* as in faults.plan, resolved."""

    scenario: str
    cluster: str
    seed: int
    policy: str
    started: str
    plan: dict[str, Json]
    versions: dict[str, str]
    format: int = FORMAT


class Invoked(msgspec.Struct, frozen=True, tag="invoke", tag_field="record"):
    """An operation begins, *at* seconds after the start."""

    index: int
    process: int
    kind: str
    value: Json
    at: float
    unit: str | None = None


class Completed(msgspec.Struct, frozen=True, tag="complete", tag_field="record"):
    """An operation has ended."""

    index: int
    outcome: Outcome
    at: float
    result: Json = None
    attempts: int = 0
    errors: tuple[str, ...] = ()


class Phase(msgspec.Struct, frozen=True, tag="phase", tag_field="record"):
    """The run enters a phase: setting up, warming up, striking, recovering, checking."""

    name: str
    at: float


class Armed(msgspec.Struct, frozen=True, tag="armed", tag_field="record"):
    """A step of the plan takes effect."""

    step: int
    fault: str
    at: float


class Healed(msgspec.Struct, frozen=True, tag="healed", tag_field="record"):
    """A step of the plan is over; its span carries the evidence."""

    span: FaultSpan


class Ended(msgspec.Struct, frozen=True, tag="final", tag_field="record"):
    """The final observations."""

    final: Final


class Judged(msgspec.Struct, frozen=True, tag="finding", tag_field="record"):
    """What a check found."""

    finding: Finding


class Closed(msgspec.Struct, frozen=True, tag="end", tag_field="record"):
    """Last line: the verdict of the whole scenario, after *seconds*."""

    verdict: Verdict
    seconds: float


Record: TypeAlias = Run | Invoked | Completed | Phase | Armed | Healed | Ended | Judged | Closed


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
    for number, record in _records(path):
        try:
            assembler.take(record)
        except ValueError as error:
            raise MalformedFile(str(path), number, str(error)) from error
    if assembler.run is None:
        raise MalformedFile(str(path), 1, "empty: a journal begins with the record of its run")
    return assembler.journal(assembler.run)


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
    """Puts records together to a history; the live run and the reader of a file use the same one."""

    def __init__(self) -> None:
        self.run: Run | None = None
        self._begun: set[int] = set()
        self._open: dict[int, Invoked] = {}
        self._done: list[Operation] = []
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
        if record.index in self._begun:
            raise ValueError(f"operation {record.index} begins a second time")
        self._begun.add(record.index)
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
        self._done.append(_operation(invoked, record))

    def history(self, *, complete: bool) -> History:
        """Return what happened so far; operations that have not ended are of unknown outcome."""
        steps = self.run.plan.get("steps") if self.run is not None else None
        planned = len(steps) if isinstance(steps, list) else 0
        unfinished = [_operation(invoked, None) for invoked in self._open.values()]
        operations = sorted([*self._done, *unfinished], key=lambda operation: operation.index)
        spans = sorted(self._spans, key=lambda span: span.step)
        return History(tuple(operations), tuple(spans), planned, self._final, complete)

    def journal(self, run: Run) -> Journal:
        """Return everything; a journal without its last line is incomplete."""
        history = self.history(complete=self._verdict is not None)
        return Journal(run, history, tuple(self._findings), self._verdict)


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
