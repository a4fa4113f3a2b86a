"""Histories in files: every format says the same of the same events, and a wrong file is refused by its line."""

from __future__ import annotations

import itertools
import json
import os
import tracemalloc
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.assembler import _Indexes
from lab.errors import MalformedFile
from lab.formats import Format, read_history, read_operations
from lab.history import Final, Json, Operation, Outcome
from lab.journal import Completed, Ended, Invoked, JournalWriter, Run, read_journal
from tests.lab.checks.published import published

Made = tuple[str, Json, str, Json]
"""Type, process, function and value of an event."""

EVENTS: list[Made] = [
    ("invoke", 0, "read", None),
    ("invoke", 1, "cas", [3, 0]),
    ("info", "nemesis", "start", None),
    ("fail", 1, "cas", [3, 0]),
    ("ok", 0, "read", 3),
    ("invoke", 1, "write", 4),
    ("invoke", 2, "txn", [["append", "x", 1]]),
    ("info", 1, "write", None),
]

OPERATIONS = [
    Operation(0, 0, "read", None, Outcome.OK, 0.0, 4.0, 3),
    Operation(1, 1, "cas", [3, 0], Outcome.FAIL, 1.0, 3.0),
    Operation(2, 1, "write", 4, Outcome.INFO, 5.0, 7.0),
    Operation(3, 2, "txn", [["append", "x", 1]], Outcome.INFO, 6.0, None),
]


def edn(value: Json) -> str:
    """Return a value as EDN."""
    match value:
        case list():
            return f"[{' '.join(map(edn, value))}]"
        case str():
            return f":{value}"
        case _:
            return "nil" if value is None else str(value)


def edn_map(event: Made) -> str:
    """Return an event as Jepsen writes it."""
    kind, process, f, value = event
    return f"{{:type :{kind}, :f :{f}, :value {edn(value)}, :process {edn(process)}, :time 12, :index 3}}"


def json_object(event: Made) -> dict[str, Json]:
    """Return an event as elle-cli reads it."""
    return dict(zip(("type", "process", "f", "value"), event, strict=True)) | {"index": 3, "time": 12}


def log_line(event: Made) -> str:
    """Return an event as a line of Jepsen's log."""
    kind, process, f, value = event
    return f"INFO  jepsen.util - {edn(process)}\t:{kind}\t:{f}\t{edn(value)}"


WAYS = {
    "maps": lambda events: "\n".join(map(edn_map, events)) + "\n",
    "maps without a last end of line": lambda events: "\n".join(map(edn_map, events)),
    "vector": lambda events: f"[{' '.join(map(edn_map, events))}]\n",
    "list with comments": lambda events: "; here\n(" + " ; and\n ".join(map(edn_map, events)) + "\n)",
    "maps over several lines": lambda events: "[\n" + ",\n".join(map(edn_map, events)).replace(", ", ",\r\n ") + "]",
    "records": lambda events: "\n".join(f"#jepsen.history.Op{edn_map(event)}" for event in events),
    "byte order mark": lambda events: "\ufeff" + "\n".join(map(edn_map, events)),
    "array": lambda events: json.dumps([json_object(event) for event in events]),
    "array over many lines": lambda events: json.dumps([json_object(event) for event in events], indent=2),
    "objects": lambda events: "".join(json.dumps(json_object(event)) + "\n" for event in events),
    "log": lambda events: "".join(log_line(event) + "\n" for event in events),
    "log of another logger": lambda events: "".join(
        log_line(event).replace("INFO  jepsen.util -", "2026-01-01 10:00:00,123{GMT}\tINFO\t[worker 1] jepsen.util:")
        + "\n"
        for event in events
    ),
    "log in columns that blanks fill up": lambda events: "".join(
        log_line(event).expandtabs(8).replace(":invoke :", ":invoke   :") + "\n" for event in events
    ),
    "log with noise": lambda events: "".join(
        f"{log_line(event)}\nWARN  jepsen.core - Process {n} crashed\njava.io.IOException: gone\n\tat a.b(C.java:1)\n\n"
        for n, event in enumerate(events)
    ),
}


def written(folder: Path, text: str) -> Path:
    """Return a file with a text, whose name says nothing."""
    path = folder / "history"
    path.write_text(text, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_history_is_read_as_the_same_operations(way: str, tmp_path: Path) -> None:
    path = written(tmp_path, WAYS[way](EVENTS))
    assert read_history(path).operations == tuple(OPERATIONS)
    assert [operation.index for operation in read_operations(path)] == [1, 0, 2, 3]


BEGUN = "{:type :invoke, :f :read, :process 1}\n"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("", 1, "empty: expected a journal"),
        ("hello\n", 1, "not a history: expected a journal"),
        ("<html>", 1, "not a history"),
        (BEGUN * 2, 2, "process 1 begins an operation before"),
        ("{:type :invoke, :f :read}\n" * 2, 2, "no process is given, so the single one there is begins an operation"),
        (BEGUN + "{:type :ok, :f :write, :process 1}\n", 2, 'process 1 completes "write", but what it began is "read"'),
        (BEGUN + "{:type :done, :f :read, :process 1}", 2, 'unknown type "done"'),
        (BEGUN + "{:f :read, :process 1}", 2, "no type"),
        (BEGUN + "{:type :ok, :f :read, :proces 1}\n", 2, "unknown key 'proces': did you mean process?"),
        (BEGUN + "{:type :ok, :f :read, :process 1, :zzz 0}\n", 2, "unknown key 'zzz': known: clock"),
        (BEGUN + "{:type :ok, :f 7, :process 2}\n", 2, "f is 7"),
        (BEGUN + '{:type :ok, :f :read, :process "2"}\n', 2, 'process "2": a number is expected'),
        (BEGUN + "{:type :ok, :f :read, :process 1.5}\n", 2, "process 1.5: a number is expected"),
        (BEGUN + "\n{:type :ok, :f :read, :process}\n", 3, "a key without a value"),
        (BEGUN + "{:type :ok, :f :read, :process 1, :value [1 2}\n", 2, "'}' closes nothing"),
        (BEGUN + "{:type :ok, :f :read, :process 1, :type :ok}\n", 2, "the key 'type' twice"),
        (BEGUN + "INFO hello\n", 2, "an operation is a map such as {:type :invoke, ...}, and not INFO"),
        (BEGUN + "[]\n[]\n", 3, "an operation is a map"),
        (f"[{BEGUN}]\n{BEGUN}", 3, "more follows the list"),
        (f"[{BEGUN}", 2, "the file ends in the middle of what line 1 begins with ["),
        (BEGUN + "{:type :ok, :f :re", 2, "the file ends in the middle of what line 2 begins with {"),
        (BEGUN + '{:type :ok, :error "a\nb', 2, "the file ends in the middle of a string"),
        ('{"type": "invoke", "f": "read", "process": 1}\n{"type": "ok", "f": "re', 2, "no JSON"),
        ('[{"type": "invoke", "f": "read", "process": 1},\n', 2, "middle of the array that line 1 begins"),
        (
            '[{"type": "invoke", "f": "read", "process": 1}]\n{}',
            2,
            "an object with an operation is expected, and not {}",
        ),
        ('[{"type": "invoke", "f": "read", "process": 1},\n [1]]', 2, "'[' where an object"),
        ('{"type": "invoke",\n "f": 1 "process": 1}\n' + " " * 200, 2, "no JSON: Expecting ',' delimiter"),
        ('{"type": "invoke", "f": "read", "process": 1, "kind": 1}', 1, "unknown key 'kind'"),
        (
            "INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\t:read\t1 2\n",
            2,
            "one value is expected, and there are 2",
        ),
        ("INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\n", 2, "process, type, function"),
        (
            "INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\t:read\t1",
            2,
            "ends in the middle of an operation",
        ),
        ("INFO  jepsen.util - 1\t:invoke\t:read\tnil\nINFO  jepsen.util - 1\t:ok\t:read\t[3\n", 2, "middle of what"),
        ("INFO  jepsen.util - 1\t:invoke\t:read\tnil\nhello\n", 2, "neither an operation nor a line of a log: hello"),
    ],
)
def test_a_wrong_file_is_refused_by_its_line(text: str, line: int, problem: str, tmp_path: Path) -> None:
    path = written(tmp_path, text)
    with pytest.raises(MalformedFile) as caught:
        deque(read_operations(path), maxlen=0)
    assert (caught.value.path, caught.value.line) == (str(path), line), caught.value
    assert problem in caught.value.problem


def test_a_file_that_is_no_text_is_refused_by_its_line(tmp_path: Path) -> None:
    path = tmp_path / "history"
    path.write_bytes(BEGUN.encode() + b'{:type :ok, :f :read, :value "\xff"}\n')
    with pytest.raises(MalformedFile, match="history:2: not UTF-8"):
        read_history(path)


@pytest.mark.parametrize(
    ("error", "kept"),
    [
        (":timed-out", "timed-out"),
        ("[:conflict 3]", '["conflict",3]'),
        ("restart transaction: [retry", "restart transaction: [retry"),
    ],
)
def test_an_error_in_a_log_is_edn_or_the_message_of_an_exception(error: str, kept: str, tmp_path: Path) -> None:
    path = written(tmp_path, f"0\t:invoke\t:write\t1\n0\t:info\t:write\t1\t{error}\n")
    (operation,) = read_operations(path)
    assert (operation.outcome, operation.errors) == (Outcome.INFO, (kept,))


def test_an_error_in_blank_columns_is_what_follows_the_value(tmp_path: Path) -> None:
    begun = "INFO  jepsen.util - 4   :invoke :cas    [1 2]\n"
    path = written(tmp_path, begun + "INFO  jepsen.util - 4   :info   :cas    [1 2]  :timed-out\n")
    (operation,) = read_operations(path)
    assert (operation.value, operation.outcome, operation.errors) == ([1, 2], Outcome.INFO, ("timed-out",))

    path = written(tmp_path, begun + "INFO  jepsen.util - 4   :ok     :cas    [1 2] 3 4\n")
    with pytest.raises(MalformedFile, match="history:2: a value, and an error at most, are expected, and there are 3"):
        read_history(path)


def test_what_can_be_read_only_once_is_refused() -> None:
    """The format is told by the beginning, which would be lost: what is left could pass for the whole history."""
    with pytest.raises(MalformedFile, match="no regular file"):
        read_history(Path(os.devnull))


def test_a_file_that_is_absent_is_named(tmp_path: Path) -> None:
    with pytest.raises(MalformedFile, match="absent: No such file"):
        read_history(tmp_path / "absent")


def test_a_format_that_is_given_is_not_guessed(tmp_path: Path) -> None:
    path = written(tmp_path, "; only a comment\n")
    assert read_history(path, format=Format.EDN).operations == ()
    with pytest.raises(MalformedFile, match="history:1: neither an operation nor a line of a log"):
        read_history(path, format=Format.LOG)


def test_the_nemesis_may_have_keys_of_its_own(tmp_path: Path) -> None:
    path = written(tmp_path, "{:type :info, :process :nemesis, :f :start, :grudge #{:n1}}\n" + BEGUN)
    assert [operation.kind for operation in read_operations(path)] == ["read"]


def test_a_completion_that_nothing_began_is_an_operation_of_its_moment(tmp_path: Path) -> None:
    path = written(tmp_path, BEGUN + "{:type :ok, :f :write, :value 1, :process 2}\n")
    assert list(read_operations(path)) == [
        Operation(1, 2, "write", 1, Outcome.OK, 1.0, 1.0, 1),
        Operation(0, 1, "read", None, Outcome.INFO, 0.0, None),
    ]


def test_events_without_a_process_or_a_function_are_transactions_of_one_process(tmp_path: Path) -> None:
    path = written(tmp_path, "{:type :invoke, :value [[:r 1 nil]]}\n{:type :ok, :value [[:r 1 2]]}\n")
    (operation,) = read_operations(path)
    assert (operation.process, operation.kind, operation.result) == (0, "txn", [["r", 1, 2]])


def test_the_error_of_a_completion_is_kept_as_text(tmp_path: Path) -> None:
    end = '{:type :info, :f :read, :process 1, :error [:timeout "after 5 s"]}\n'
    (operation,) = read_operations(written(tmp_path, BEGUN + end))
    assert operation.errors == ('["timeout","after 5 s"]',)


@given(
    place=st.integers(0, 10_000),
    way=st.sampled_from(["maps", "maps over several lines", "array over many lines", "objects", "log"]),
)
def test_a_file_that_was_cut_is_refused_or_is_a_beginning(
    place: int, way: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    text = WAYS[way](EVENTS)
    cut = text[: place % (len(text) - 1) + 1]
    path = written(tmp_path_factory.getbasetemp(), cut)
    whole = {(operation.index, operation.kind) for operation in OPERATIONS}
    found, refused = outcome_of(path)
    assert {(operation.index, operation.kind) for operation in found} <= whole
    if refused is None:
        assert "over" not in way or cut.rstrip().endswith("]")
    else:
        assert 0 < refused <= cut.count("\n") + 1


def outcome_of(path: Path) -> tuple[list[Operation], int | None]:
    """Return the operations that are read, and the line at which the rest is refused."""
    found: list[Operation] = []
    try:
        found.extend(read_operations(path))
    except MalformedFile as problem:
        return found, problem.line
    return found, None


@pytest.mark.parametrize("way", ["maps", "array", "vector"])
def test_only_operations_that_are_under_way_are_in_memory(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.formats.jepsen.BLOCK", 4096)
    peaks = []
    for count in (600, 1_800):
        pairs = ((("invoke", 1, "write", n), ("ok", 1, "write", n)) for n in range(count))
        path = written(tmp_path, WAYS[way](list(itertools.chain.from_iterable(pairs))))
        peaks.append(min(peak_of_reading(path) for _ in range(3)))  # what others of the process hold is not in all
    assert peaks[1] < peaks[0] * 1.3


def peak_of_reading(path: Path) -> int:
    """Return the most bytes that were held at once."""
    tracemalloc.start()
    try:
        deque(read_operations(path), maxlen=0)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("pattern", ["etcd/*.log", "elle/*.edn", "jepsen/*.edn", "knossos/*.edn"])
def test_published_histories_are_read_to_their_end(pattern: str) -> None:
    folder, names = pattern.split("/")
    paths = sorted(published(folder).glob(names))
    assert paths
    for path in paths:
        operations = read_history(path).operations
        assert len(operations) == path.read_text(encoding="utf-8").count(":invoke"), path
        assert [operation.index for operation in operations] == list(range(len(operations)))
        assert sum(operation.outcome is Outcome.OK for operation in operations) > len(operations) / 2


def test_a_journal_is_read_as_a_stream_too(journal: Path) -> None:
    write_journal(journal)
    history = read_journal(journal).history
    assert read_history(journal) == history
    assert history.final is not None
    found = list(read_operations(journal))
    assert [operation.index for operation in found] == [1, 0, 2]
    assert tuple(sorted(found, key=lambda operation: operation.index)) == history.operations


def test_a_journal_that_was_cut_is_a_stream_of_what_is_left(journal: Path) -> None:
    write_journal(journal)
    whole = journal.read_bytes()
    journal.write_bytes(whole[: whole.index(b'"complete"') + 3])
    assert [operation.completed for operation in read_operations(journal)] == [None, None]
    assert not read_history(journal).complete


def test_a_journal_that_does_not_fit_together_is_refused_by_its_line(journal: Path) -> None:
    write_journal(journal)
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines[:4], lines[1]]))
    with pytest.raises(MalformedFile, match=r"journal\.jsonl:5: operation 0 begins a second time"):
        list(read_operations(journal))


@given(st.lists(st.integers(-3, 12), max_size=12))
def test_an_index_is_new_only_once(indexes: list[int]) -> None:
    seen = _Indexes()
    assert [seen.add(index) for index in indexes] == [index not in indexes[:n] for n, index in enumerate(indexes)]


def write_journal(path: Path) -> None:
    """Write a journal of three operations, the last of which does not end."""
    with JournalWriter(path) as writer:
        writer.write(Run("s", "c", 1, "p", "2026-01-01T00:00:00Z", {"steps": []}, {}))
        writer.write(Invoked(0, 0, "read", None, 0.5))
        writer.write(Invoked(1, 1, "write", 4, 0.75, "unit"))
        writer.write(Completed(1, Outcome.FAIL, 1.0, None, 2, ("40001",)))
        writer.write(Completed(0, Outcome.OK, 1.25, 4, 1))
        writer.write(Invoked(2, 0, "read", None, 1.5))
        writer.write(Ended(Final({"x": 4}, {"unit": 0}, 0, 0)))
