"""A journal gives back what was written, is readable up to where it was cut, and names the line of any garbage."""

from __future__ import annotations

import contextlib
import errno
import math
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.checks import answers, connections_returned, conserved, exactly_once, faults_fired, recovers, succeeds
from lab.errors import EnvironmentProblem, MalformedFile
from lab.history import FaultSpan, Final, History, Json, Outcome
from lab.journal import (
    FORMAT,
    Armed,
    Closed,
    Completed,
    Ended,
    Healed,
    Invoked,
    JournalWriter,
    Judged,
    Phase,
    Record,
    Run,
    read_journal,
)
from lab.verdict import Finding, Verdict
from tests.lab.checks.histories import ACCOUNTS, TOTAL, correct

RUN = Run("steady", "embedded: PostgreSQL", 7, "RetryPolicy", "2026-01-01T00:00:00+00:00", {"steps": []}, {"a": "1"})
CHECKS = (
    conserved(total=TOTAL, accounts=ACCOUNTS),
    exactly_once(),
    connections_returned(),
    faults_fired(),
    recovers(within=60),
    succeeds(at_least=0.0),
    answers(within=60),
)

TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
TIMES = st.floats(0, 1e6).map(partial(round, ndigits=6))
COUNTS = st.integers(0, 2**40)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)
SPANS = st.builds(
    FaultSpan, COUNTS, TEXT, TIMES, TIMES, COUNTS, COUNTS, COUNTS, st.none() | TIMES, st.none() | TIMES, TEXT
)
FINALS = st.builds(Final, VALUES, st.dictionaries(TEXT, COUNTS, max_size=3), COUNTS, COUNTS)
FINDINGS = st.builds(Finding, TEXT, st.sampled_from(Verdict), TEXT, st.lists(COUNTS, max_size=3).map(tuple))
ASIDES = st.builds(Phase, TEXT, TIMES) | st.builds(Armed, COUNTS, TEXT, TIMES) | st.builds(Judged, FINDINGS)


@st.composite
def operations(draw: st.DrawFn) -> list[Record]:
    """Draw operations that begin and (mostly) end, in an order that a run could have had."""
    records: list[Record] = []
    for index in range(draw(st.integers(0, 5))):
        began, took = draw(TIMES), draw(TIMES)
        unit = draw(st.none() | TEXT)
        records.append(Invoked(index, draw(COUNTS), draw(TEXT), draw(VALUES), began, unit))
        if draw(st.booleans()):
            errors = tuple(draw(st.lists(TEXT, max_size=3)))
            outcome = draw(st.sampled_from(Outcome))
            ended = Completed(index, outcome, began + took, draw(VALUES), draw(COUNTS), errors)
            records.insert(draw(st.integers(records.index(records[-1]) + 1, len(records))), ended)
    return records


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    """Draw the records of a whole run but for its end."""
    steps: list[Json] = [{"at": 0.0}] * draw(st.integers(0, 3))
    run = msgspec.structs.replace(RUN, scenario=draw(TEXT), seed=draw(COUNTS), plan={"steps": steps})
    others: list[Record] = [*draw(st.lists(ASIDES | st.builds(Healed, SPANS), max_size=3))]
    end: list[Record] = [Ended(final) for final in draw(st.lists(FINALS, max_size=1))]
    return [run, *draw(operations()), *others, *end]


def write(path: Path, records: Iterable[Record]) -> Path:
    with JournalWriter(path) as writer:
        for record in records:
            writer.write(record)
    return path


def of(history: History) -> list[Record]:
    """Return the records of a run that has this history."""
    records: list[Record] = [msgspec.structs.replace(RUN, plan={"steps": [{}] * history.planned})]
    for o in history.operations:
        records.append(Invoked(o.index, o.process, o.kind, o.value, o.invoked, o.unit))
        if o.completed is not None:
            records.append(Completed(o.index, o.outcome, o.completed, o.result, o.attempts, o.errors))
    records += [Healed(span) for span in history.faults]
    records += [Ended(history.final)] if history.final else []
    return [*records, Closed(Verdict.PASS, 9.0)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("journals")


@given(records=runs(), verdict=st.sampled_from(Verdict))
def test_what_was_written_is_what_is_read(folder: Path, records: list[Record], verdict: Verdict) -> None:
    journal = read_journal(write(folder / "whole", [*records, Closed(verdict, 1.0)]))

    history = journal.history
    begun = {record.index: record for record in records if isinstance(record, Invoked)}
    ended = {record.index: record for record in records if isinstance(record, Completed)}
    assert (journal.run, journal.verdict, history.complete) == (records[0], verdict, True)
    assert [operation.index for operation in history.operations] == sorted(begun)
    for operation in history.operations:
        asked, told = begun[operation.index], ended.get(operation.index)
        assert (operation.process, operation.kind, operation.invoked) == (asked.process, asked.kind, asked.at)
        assert (operation.value, operation.unit) == (asked.value, asked.unit)
        assert operation.outcome is (told.outcome if told else Outcome.INFO)
        assert operation.completed == (told.at if told else None)
        assert operation.result == (told.result if told else None)
        assert (operation.attempts, operation.errors) == ((told.attempts, told.errors) if told else (0, ()))
    spans = [record.span for record in records if isinstance(record, Healed)]
    assert sorted(history.faults, key=repr) == sorted(spans, key=repr)
    finals = [record.final for record in records if isinstance(record, Ended)]
    assert history.final == (finals[0] if finals else None)
    assert list(journal.findings) == [record.finding for record in records if isinstance(record, Judged)]


@given(seed=st.integers(0, 2**32))
def test_a_history_survives_its_journal(folder: Path, seed: int) -> None:
    history = correct(seed)
    assert read_journal(write(folder / "history", of(history))).history == history


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), chance=st.integers(0, 60))
def test_a_journal_cut_at_any_byte_is_read_up_to_the_cut_and_never_passes(folder: Path, seed: int, chance: int) -> None:
    path = write(folder / "cut", of(correct(seed)))
    whole, history = path.read_bytes(), correct(seed)
    first = whole.index(b"\n")
    for size in range(first + chance, len(whole) - 1, 61):
        path.write_bytes(whole[:size])
        journal = read_journal(path)
        assert not journal.history.complete
        assert journal.verdict is None
        begun = whole[: size + 1].count(b'"record":"invoke"')
        assert len(journal.history.operations) in {begun, begun - 1}
        seen = {operation.index: operation for operation in journal.history.operations if operation.completed}
        assert all(operation == history.operations[index] for index, operation in seen.items())
        assert {check(journal.history).verdict for check in CHECKS} == {Verdict.INCONCLUSIVE}


def test_a_journal_that_lacks_nothing_but_its_last_newline_is_complete(tmp_path: Path) -> None:
    path = write(tmp_path / "journal", of(correct(1)))
    path.write_bytes(path.read_bytes()[:-1])
    assert read_journal(path).history == correct(1)


@pytest.mark.parametrize("size", [0, 1, 50])
def test_a_journal_cut_within_its_first_line_is_no_journal_yet(tmp_path: Path, size: int) -> None:
    path = write(tmp_path / "journal", [RUN])
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(MalformedFile, match="begins with the record of its run") as caught:
        read_journal(path)
    assert caught.value.line == 1


def test_a_run_that_was_killed_shows_what_was_under_way_as_unknown(tmp_path: Path) -> None:
    journal = read_journal(write(tmp_path / "journal", [RUN, Invoked(0, 3, "transfer", None, 1.5, "u0")]))
    (operation,) = journal.history.operations
    assert (operation.outcome, operation.completed, operation.seconds) == (Outcome.INFO, None, math.inf)


GARBAGE = {
    "no JSON": b"garbage",
    "half a line": b'{"record":"phase","na',
    "another record": b'{"record":"music","at":1}',
    "no object": b"[]",
    "a number": b"17",
    "a missing field": b'{"record":"phase","name":"x"}',
    "a wrong type": b'{"record":"phase","name":"x","at":"soon"}',
    "no UTF-8": b'{"record":"phase","name":"\xff","at":1}',
    "half a surrogate": b'{"record":"phase","name":"\\ud800","at":1}',
    "too deep": b'{"record":"invoke","index":1,"process":1,"kind":"a","at":0,"value":' + b"[" * 100_000,
    "no number": b'{"record":"phase","name":"x","at":NaN}',
    "a number out of range": b'{"record":"phase","name":"x","at":1e999}',
    "zeros": b"\0\0\0\0",
    "an unknown outcome": b'{"record":"complete","index":0,"outcome":"perhaps","at":2}',
    "a negative count of effects": b'{"record":"final","final":{"state":1,"effects":{"u0":-1},"checked_out":0,'
    b'"idle_in_transaction":0}}',
    "negative connections": b'{"record":"final","final":{"state":1,"effects":{},"checked_out":-1,'
    b'"idle_in_transaction":0}}',
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_a_line_of_garbage_is_named(tmp_path: Path, garbage: bytes) -> None:
    path = write(tmp_path / "journal", [RUN, Phase("x", 0.0), Closed(Verdict.PASS, 1.0)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:2], garbage + b"\n", *lines[2:]]))
    with pytest.raises(MalformedFile) as caught:
        read_journal(path)
    assert caught.value.line == 3
    assert str(caught.value).startswith(f"{path}:3: ")


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_without_a_newline_at_the_end_is_a_cut(tmp_path: Path, garbage: bytes) -> None:
    path = write(tmp_path / "journal", [RUN, Phase("x", 0.0)])
    path.write_bytes(path.read_bytes() + garbage)
    assert not read_journal(path).history.complete


@given(garbage=st.binary(max_size=60), where=st.integers(0, 3))
def test_whatever_stands_in_a_file_the_answer_is_a_journal_or_the_line_that_is_wrong(
    folder: Path, garbage: bytes, where: int
) -> None:
    path = write(folder / "garbage", [RUN, Phase("x", 0.0), Closed(Verdict.PASS, 1.0)])
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:where], garbage, *lines[where:]]))
    with contextlib.suppress(MalformedFile):
        read_journal(path)


BEGUN = Invoked(0, 0, "read", None, 2.0)
ENDED = Completed(0, Outcome.OK, 3.0)
FINAL = Ended(Final(None, {}, 0, 0))
CLOSED = Closed(Verdict.PASS, 1.0)
IMPOSSIBLE: dict[str, tuple[list[Record], str]] = {
    "an end without a beginning": ([RUN, ENDED], "ends without having begun"),
    "an operation that ends twice": ([RUN, BEGUN, ENDED, ENDED], "ends without having begun"),
    "an operation that begins twice": ([RUN, BEGUN, BEGUN], "begins a second time"),
    "an index that is used again": ([RUN, BEGUN, ENDED, BEGUN], "begins a second time"),
    "an end before the beginning": ([RUN, BEGUN, Completed(0, Outcome.OK, 1.0)], "ends before it began"),
    "two runs in one file": ([RUN, RUN], "second record of a run"),
    "no run in front": ([BEGUN], "first line must be the record of the run"),
    "two final observations": ([RUN, FINAL, FINAL], "second record of final observations"),
    "something after the end": ([RUN, CLOSED, Phase("x", 1.0)], "after the end"),
    "a plan without steps": ([msgspec.structs.replace(RUN, plan={})], "no list of steps"),
    "a newer format": ([msgspec.structs.replace(RUN, format=FORMAT + 1)], "newer than this program"),
}


@pytest.mark.parametrize(("records", "problem"), IMPOSSIBLE.values(), ids=IMPOSSIBLE)
def test_records_that_no_run_could_have_written_are_refused_with_their_line(
    tmp_path: Path, records: list[Record], problem: str
) -> None:
    path = write(tmp_path / "journal", records)
    with pytest.raises(MalformedFile, match=problem) as caught:
        read_journal(path)
    assert caught.value.line == len(records)


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "journal", of(correct(1)))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n\n \n"))
    assert read_journal(path).history == correct(1)


@pytest.mark.parametrize("make", [lambda _path: None, lambda path: path.mkdir()], ids=["absent", "a folder"])
def test_a_file_that_cannot_be_read_is_named_without_a_line(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "journal")
    with pytest.raises(MalformedFile) as caught:
        read_journal(tmp_path / "journal")
    assert caught.value.line == 0
    assert str(tmp_path / "journal") in str(caught.value)


def test_each_record_reaches_the_file_at_once(tmp_path: Path) -> None:
    with JournalWriter(tmp_path / "deep" / "journal") as writer:
        writer.write(RUN)
        assert read_journal(writer.path).run == RUN
        writer.write(BEGUN)
        assert len(read_journal(writer.path).history.operations) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_told_with_a_remedy() -> None:
    with (
        JournalWriter(Path("/dev/full")) as writer,
        pytest.raises(EnvironmentProblem, match=r"No space left.*--report"),
    ):
        writer.write(RUN)


def test_a_folder_that_cannot_be_written_is_told_with_a_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EnvironmentProblem, match="--report"):
        JournalWriter(tmp_path / "file" / "journal")


def test_a_disk_that_takes_a_part_of_a_line_gets_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Reluctant:
        def __init__(self, file: Any) -> None:
            self._file = file

        def write(self, data: memoryview) -> int:
            return int(self._file.write(data[:7]))

        def close(self) -> None:
            self._file.close()

    with JournalWriter(tmp_path / "journal") as writer:
        monkeypatch.setattr(writer, "_file", Reluctant(writer._file))
        for record in of(correct(1)):
            writer.write(record)
    assert read_journal(tmp_path / "journal").history == correct(1)


def test_after_a_line_in_part_nothing_more_is_written_so_the_journal_reads_as_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullForAMoment:
        def __init__(self, file: Any) -> None:
            self.file, self.calls = file, 0

        def write(self, rest: memoryview) -> int:
            self.calls += 1
            if self.calls == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return int(self.file.write(rest[: 1 if self.calls == 1 else len(rest)]))

        def close(self) -> None:
            self.file.close()

    with JournalWriter(tmp_path / "journal.jsonl") as writer:
        writer.write(RUN)
        monkeypatch.setattr(writer, "_file", FullForAMoment(writer._file))
        for record in (Phase("striking", 1.0), Phase("recovering", 2.0)):
            with pytest.raises(EnvironmentProblem, match="No space left"):
                writer.write(record)

    assert not read_journal(tmp_path / "journal.jsonl").history.complete
