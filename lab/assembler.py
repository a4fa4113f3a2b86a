"""Records, put together to a history: the live run and the reader of a file do it with the same code."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import attrgetter
from sys import intern

import msgspec

from lab.history import FaultSpan, Final, History, Operation, Outcome
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
from lab.verdict import Finding, Verdict


class Journal(msgspec.Struct, frozen=True):
    """A journal that was read: the run, its history, and the verdicts that were reached at the time.

    *verdict* is None if the run did not get there; `history.complete` is False if the file was cut. *armed* are the
    faults that were in force at its end, *gauges* what was seen of the pool; both are empty in older journals.
    """

    run: Run
    history: History
    findings: tuple[Finding, ...]
    verdict: Verdict | None
    phases: tuple[Phase, ...] = ()
    armed: tuple[Armed, ...] = ()
    gauges: tuple[Gauge, ...] = ()


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
        self._armed: dict[int, Armed] = {}
        self._phases: list[Phase] = []
        self._gauges: list[Gauge] = []
        self._findings: list[Finding] = []
        self._final: Final | None = None
        self._verdict: Verdict | None = None

    def take(self, record: Record) -> None:
        """Add a record; raise ValueError for one that does not fit those before it."""
        if self.run is None and not isinstance(record, Run):
            raise ValueError("not a journal: its first line must be the record of the run")
        if self._verdict is not None:
            raise ValueError("a record after the end of the run")
        if isinstance(record, Completed):  # nearly all are one of the first two
            self._complete(record)
        elif isinstance(record, Invoked):
            self._invoke(record)
        elif isinstance(record, Ended):
            self._end(record)
        elif isinstance(record, Run):
            self._begin(record)
        else:
            self._note(record)

    def _note(self, record: Healed | Judged | Closed | Armed | Phase | Gauge) -> None:
        match record:
            case Healed():
                self._spans.append(record.span)
                self._armed.pop(record.span.step, None)
            case Judged():
                self._findings.append(record.finding)
            case Closed():
                self._verdict = record.verdict
            case Armed():
                self._armed[record.step] = record
            case Phase():
                self._phases.append(record)
            case Gauge():
                self._gauges.append(record)

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
        operations = sorted([*self._kept, *self.unfinished()], key=attrgetter("index"))
        spans = sorted(self._spans, key=lambda span: span.step)
        return History(tuple(operations), tuple(spans), planned, self._final, complete)

    def journal(self) -> Journal:
        """Return everything; a journal without its last line is incomplete. Raises ValueError without a run."""
        history = self.history(complete=self._verdict is not None)
        return self._with_marks(history)

    def so_far(self) -> Journal:
        """Return everything but the operations: cheap, while the run goes on. Raises ValueError without a run."""
        return self._with_marks(History((), tuple(self._spans), complete=False))

    def ended(self, since: int) -> list[Operation]:
        """Return the operations that have ended, in that order, without the first *since* ones."""
        return self._kept[since:]

    def _with_marks(self, history: History) -> Journal:
        if self.run is None:
            raise ValueError("a journal begins with the record of its run")
        return Journal(
            self.run,
            history,
            tuple(self._findings),
            self._verdict,
            tuple(self._phases),
            tuple(self._armed.values()),
            tuple(self._gauges),
        )


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
        kind=intern(invoked.kind),  # a few words, a million times
        value=invoked.value,
        unit=invoked.unit,
        invoked=invoked.at,
        outcome=completed.outcome if completed else Outcome.INFO,
        completed=completed.at if completed else None,
        result=completed.result if completed else None,
        attempts=completed.attempts if completed else 0,
        errors=completed.errors if completed else (),
    )
