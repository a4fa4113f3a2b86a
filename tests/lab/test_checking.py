"""`lab check` judges published histories as their authors do, and answers bad input with one line."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lab.checking import MODELS, Options, check_file
from lab.cli import exit_code
from lab.errors import MalformedFile, UsageError
from lab.history import Operation, Outcome
from lab.verdict import Verdict
from tests.lab.checks.published import etcd_logs, published

PUBLISHED = [
    ("knossos/memstress3-9.edn", "register", True),
    ("knossos/bad-analysis.edn", "register", False),
    ("knossos/cas-failure.edn", "register", False),
    ("knossos/rethink-fail-minimal.edn", "register", False),
    ("elle/paper-example.edn", "list-append", False),
    ("elle/list-append-gh-30.edn", "list-append", False),
    ("elle/si-without-g-single.edn", "list-append", False),
    ("elle/rw-register.edn", "rw-register", True),
    ("jepsen/bank.edn", "bank", True),
    ("jepsen/set.edn", "set", True),
    ("jepsen/set_full.edn", "set-full", False),
    ("jepsen/long-fork.edn", "long-fork", False),
    ("jepsen/counter.edn", "counter", True),
]


@pytest.mark.parametrize(("name", "model", "holds"), PUBLISHED)
def test_a_published_history_gets_the_verdict_of_its_authors(name: str, model: str, holds: bool) -> None:
    checked = check_file(published(*name.split("/")), model)

    assert checked.finding.verdict is (Verdict.PASS if holds else Verdict.FAIL), checked.finding.why


def test_negative_balances_pass_where_they_are_allowed() -> None:
    assert (
        check_file(published("jepsen", "bank-neg.edn"), "bank", Options(negative=True)).finding.verdict is Verdict.PASS
    )


def test_a_snapshot_without_read_skew_shows_write_skew_and_nothing_else() -> None:
    path = published("elle", "si-without-g-single.edn")

    assert [anomaly.name for anomaly in check_file(path, "list-append").finding.anomalies] == ["G2-item"]
    assert check_file(path, "list-append", Options("snapshot-isolation")).finding.verdict is Verdict.PASS
    assert check_file(path, "list-append", Options("repeatable-read")).finding.verdict is Verdict.FAIL


def test_every_log_of_etcd_is_judged_as_porcupine_judges_it() -> None:
    wrong = {
        path.name: linearizable
        for path, linearizable in etcd_logs()
        if (check_file(path, "register").finding.verdict is Verdict.PASS) != linearizable
    }
    assert wrong == {}


SKEW = """
{:type :invoke, :f :txn, :process 0, :value [[:r :a nil] [:append :b 1]]}
{:type :invoke, :f :txn, :process 1, :value [[:r :b nil] [:append :a 1]]}
{:type :ok, :f :txn, :process 0, :value [[:r :a []] [:append :b 1]]}
{:type :ok, :f :txn, :process 1, :value [[:r :b []] [:append :a 1]]}
"""

SERIAL = SKEW.replace("[[:r :b []] [:append :a 1]]", "[[:r :b [1]] [:append :a 1]]")


@pytest.fixture
def skew(tmp_path: Path) -> Path:
    """A history with a write skew."""
    path = tmp_path / "skew.edn"
    path.write_text(SKEW)
    return path


def test_exit_codes_tell_pass_fail_and_doubt(skew: Path, tmp_path: Path) -> None:
    serial, empty = tmp_path / "serial.edn", tmp_path / "doubt.edn"
    serial.write_text(SERIAL)
    empty.write_text("{:type :invoke, :f :txn, :process 0, :value [[:r :a nil]]}\n")

    assert exit_code(["check", str(serial), "--model", "list-append"]) == 0
    assert exit_code(["check", str(skew), "--model", "list-append"]) == 1
    assert exit_code(["check", str(empty), "--model", "list-append"]) == 3
    assert exit_code(["check", str(serial), str(skew), "--model", "list-append"]) == 1


def test_json_has_the_witness_step_by_step(skew: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", str(skew), "--model", "list-append", "--json"]) == 1

    (answer,) = json.loads(capfd.readouterr().out)
    assert (answer["verdict"], answer["operations"], answer["check"]) == ("fail", 2, "serializable")
    (anomaly,) = answer["anomalies"]
    assert anomaly["name"] == "G2-item"
    assert [(step["source"], step["kind"], step["target"]) for step in anomaly["cycle"]] == [(0, "rw", 1), (1, "rw", 0)]


def test_a_terminal_shows_the_verdict_and_each_step(skew: Path, capfd: pytest.CaptureFixture[str]) -> None:
    exit_code(["check", str(skew), "--model", "list-append"])

    shown = capfd.readouterr().out
    assert "✘ fail" in shown
    assert "T0 rw       T1   T0 read key a as [], without T1's append of 1" in shown


def test_the_first_witness_is_drawn(skew: Path, tmp_path: Path) -> None:
    svg, dot = tmp_path / "w.svg", tmp_path / "w.dot"

    exit_code(["check", str(skew), "--model", "list-append", "--svg", str(svg), "--dot", str(dot)])

    assert "r a [], append b 1" in svg.read_text()
    assert "T0 -> T1" in dot.read_text()


def test_levels_and_real_time_can_be_asked_for(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "stale.edn"
    path.write_text(
        "{:type :invoke, :process 0, :value [[:append :a 1]]}\n{:type :ok, :process 0, :value [[:append :a 1]]}\n"
        "{:type :invoke, :process 1, :value [[:r :a nil]]}\n{:type :ok, :process 1, :value [[:r :a []]]}\n"
    )
    command = ["check", str(path), "--model", "list-append"]

    assert exit_code(command) == 0
    assert exit_code([*command, "--realtime"]) == 0
    assert "1 x G-single-realtime" in capfd.readouterr().out
    assert exit_code([*command, "--level", "strict-serializable"]) == 1


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--model", "list-apend"], "unknown model 'list-apend': did you mean list-append?"),
        (["--model", "list-append", "--level", "serialisable"], "did you mean serializable"),
        (["--model", "list-append", "--total", "3"], "does not take total; it takes: level, realtime"),
        (["--model", "register", "--initial", "x"], "--initial is not JSON"),
        (["--model", "bank"], "no operation of read, transfer, but txn: it is no bank history"),
        (["--model", "rw-register"], "is no [r or w; key; value]"),
    ],
)
def test_a_wrong_request_is_answered_in_one_line(
    arguments: list[str], problem: str, skew: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    if problem.startswith("is no"):
        skew.write_text("{:type :ok, :process 0, :f :txn, :value [[:inc :a 1]]}\n")

    assert exit_code(["check", str(skew), *arguments]) == 2

    complaint = capfd.readouterr().err
    assert problem in complaint
    assert complaint.count("\n") == 1


def test_a_line_that_is_malformed_is_named(skew: Path) -> None:
    skew.write_text(SKEW + "{:type :ok, :process 0, :value [[:r :a }\n")

    with pytest.raises(MalformedFile, match=r"skew\.edn:6: "):
        check_file(skew, "list-append")


def test_a_wrong_kind_of_history_is_told_from_a_bad_one(skew: Path) -> None:
    with pytest.raises(UsageError, match="it is no counter history"):
        check_file(skew, "counter")


def test_models_are_explained(capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["check", "--models"]) == 0

    assert set(MODELS) <= set(capfd.readouterr().out.split())


def journal_lines(operations: list[Operation], final: dict[str, object] | None = None) -> bytes:
    """Return a journal that holds operations and a final state, without any run around them."""
    about = dict.fromkeys(("scenario", "cluster", "policy", "started"), "")
    run = {"record": "run", "seed": 1, "plan": {"steps": []}, "versions": {}, **about}
    lines: list[object] = [run]
    for o in operations:
        asked = {
            "index": o.index,
            "process": o.process,
            "kind": o.kind,
            "value": o.value,
            "at": o.invoked,
            "unit": o.unit,
        }
        lines.append({"record": "invoke", **asked})
        lines.append(
            {"record": "complete", "index": o.index, "outcome": o.outcome, "at": o.completed, "result": o.result}
        )
    if final is not None:
        lines.append({"record": "final", "final": {"checked_out": 0, "idle_in_transaction": 0, **final}})
    lines.append({"record": "end", "verdict": "pass", "seconds": 1.0})
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def test_our_own_journals_are_judged_by_their_operations(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    add = Operation(0, 0, "add", 7, Outcome.OK, 0.0, 1.0)
    path.write_bytes(journal_lines([add, Operation(1, 0, "read", None, Outcome.OK, 2.0, 3.0, [7])]))
    assert check_file(path, "set").finding.verdict is Verdict.PASS

    path.write_bytes(journal_lines([add, Operation(1, 0, "read", None, Outcome.OK, 2.0, 3.0, [])]))
    assert [anomaly.name for anomaly in check_file(path, "set").finding.anomalies] == ["lost"]


@pytest.mark.parametrize(("held", "anomalies"), [([7, 8], []), ([8], ["lost"])])
def test_what_a_run_read_in_the_end_counts_and_settles_what_was_unknown(
    held: list[int], anomalies: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "journal.jsonl"
    adds = [
        Operation(0, 0, "add", 7, Outcome.OK, 0.0, 1.0, unit="u0"),
        Operation(1, 1, "add", 8, Outcome.INFO, 0.0, 1.0, unit="u1"),
    ]
    read = {"kind": "read", "value": None, "result": held}
    effects = {f"u{element - 7}": 1 for element in held}
    path.write_bytes(journal_lines(adds, {"state": {"reads": [read]}, "effects": effects}))

    finding = check_file(path, "set").finding

    assert [anomaly.name for anomaly in finding.anomalies] == anomalies
    assert finding.verdict is (Verdict.FAIL if anomalies else Verdict.PASS)
    assert anomalies or "1 unknown outcomes settled" in finding.why
