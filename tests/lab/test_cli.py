"""The command line as its users meet it: real processes, real signals, exit codes and one-line errors."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from faults.plan import Plan
from lab._processes import processes_of
from lab.cli import exit_code
from lab.clusters.embedded import GATEWAYS
from lab.journal import read_journal
from lab.scenarios import SCENARIOS

PATIENCE = 60.0
"""Seconds that a command may take here."""


@pytest.fixture
def state(root: Path) -> Path:
    """An empty state root of its own."""
    return root


def environment(state: Path) -> dict[str, str]:
    """Return the environment of a command with its own state root; streams are buffered, as they are for users."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    return {**inherited, "LAB_STATE_DIR": str(state), "COLUMNS": "100"}


def lab(state: Path, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "lab.cli", *map(str, arguments)],
        env={**environment(state), **more},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


Within = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def within(state: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Within:
    """Run a command in this process, which has loaded it already: what `lab` does, in a hundredth of the time."""
    for name, value in environment(state).items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        code = exit_code([*map(str, arguments)])
        heard = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, code, heard.out, heard.err)

    return run


@contextmanager
def running(state: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command; at the end of the block it is killed if it still runs."""
    command = [sys.executable, "-m", "lab.cli", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, env=environment(state), text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def read_until(process: subprocess.Popen[str], sign: str) -> str:
    """Read standard error up to a line with *sign*."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if sign in line:
            return read
    raise AssertionError(f"ended without saying {sign!r}: {read}")


def eventually(reached: Callable[[], bool], within: float = 10.0) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + within
    while not reached():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def left_behind(state: Path) -> list[str]:
    """Return what a run has left in its state root, and the processes that belong to it."""
    folders = (
        [path for path in state.iterdir() if path.name.startswith(("run-", "up-", "doctor-"))] if state.exists() else []
    )
    alive = [str(process) for found in processes_of(folders).values() for process in found]
    marked = [str(p) for p in psutil.process_iter() if str(state) in " ".join(_command_line(p))]
    return [*map(str, folders), *alive, *marked]


def _command_line(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def one_line(result: subprocess.CompletedProcess[str]) -> str:
    """Return the one line on standard error of a refused command, which prints nothing else."""
    assert result.stdout == ""
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, result.stderr
    return lines[0]


def answer(result: subprocess.CompletedProcess[str]) -> Any:
    """Return the JSON on standard output."""
    return json.loads(result.stdout)


# --- running ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_plan_and_stdout_is_json_alone(state: Path) -> None:
    ran = answer(lab(state, "run", "gateway-lost", "--seed", "7", "--json"))
    drawn, other = (Plan(SCENARIOS["gateway-lost"].plan, seed).resolve(GATEWAYS).to_json() for seed in (7, 9))

    (result,) = ran["results"]
    assert result["plan"] == drawn
    assert result["plan"]["steps"] != other["steps"]
    assert ran["run"]["seed"] == 7
    assert ran["run"]["cluster"] == "embedded"
    assert result["scenario"] == "gateway-lost"
    assert result["verdict"] == "pass"
    assert set(result["operations"]) == {"ok", "fail", "info"}
    assert result["attempts"] >= result["operations"]["ok"] > 0
    assert result["evidence"][0]["fired"] is True
    assert {check["check"] for check in result["checks"]} >= {"faults fired", "exactly once", "conserved"}
    assert result["seconds"] > 0


def test_a_run_ends_with_a_table_and_a_count_of_verdicts(state: Path) -> None:
    result = lab(state, "run", "steady")

    assert result.returncode == 0
    assert result.stdout.rstrip().endswith("1 scenarios: 1 pass, 0 fail, 0 inconclusive")
    assert "steady" in result.stderr
    assert left_behind(state) == []


def test_a_plan_whose_fault_cannot_fire_ends_inconclusive(state: Path, tmp_path: Path) -> None:
    toxic = {"type": "latency", "attributes": {"latency": 30}}
    plan = {"seed": 7, "steps": [{"at": 0.1, "lasting": 0.5, "fault": {"kind": "bend", "toxic": toxic, "toxicity": 0}}]}
    (tmp_path / "plan.json").write_text(json.dumps(plan))

    result = lab(state, "run", "latency", "--plan", tmp_path / "plan.json", "--json")

    assert result.returncode == 3
    assert answer(result)["results"][0]["verdict"] == "inconclusive"


def test_a_report_can_be_judged_again_without_a_database(state: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    ran = lab(state, "run", "steady", "--report", report, "--json")
    again = lab(state, "replay", report / "steady.jsonl", "--json", LAB_POSTGRES_BIN="/nowhere")

    assert json.loads((report / "results.json").read_text()) == answer(ran)
    assert (report / "summary.svg").read_text().startswith("<svg")
    assert again.returncode == 0
    assert answer(again)[0]["checks"] == answer(ran)["results"][0]["checks"]


def test_a_scenario_that_runs_twice_leaves_two_journals(state: Path, tmp_path: Path) -> None:
    result = lab(state, "run", "steady", "steady", "--report", tmp_path, "--seed", "7", "--json")

    assert [run["verdict"] for run in answer(result)["results"]] == ["pass", "pass"]
    journals = [read_journal(tmp_path / name) for name in ("steady.jsonl", "steady-2.jsonl")]
    counts = [len(journal.history.operations) for journal in journals]
    assert counts == [sum(run["operations"].values()) for run in answer(result)["results"]]


@pytest.mark.skipif(sys.platform != "linux", reason="a Mac takes file names in UTF-8 only")
def test_a_state_folder_may_have_any_name(state: Path) -> None:
    odd = state / "ünï cö\udcff"
    odd.mkdir(mode=0o711)

    assert lab(odd, "run", "server-crash").returncode == 0
    assert left_behind(odd) == []


# --- refusing ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "--cluster", "embeded"], "did you mean embedded?"),
        (["run", "--sed", "7"], "--seed"),
        (["run", "--seed", "many"], "'many' is not a valid integer"),
        (["run", "--seed", "-1"], "--seed"),
        (["run", "hermitag"], "did you mean hermitage?"),
        (["run", "hermitage", "--plan", "/nowhere/plan.json"], "--plan is for scenarios"),
        (["run", ""], "unknown scenario or study ''"),
        (["run", "--workload", "list-apend"], "did you mean list-append?"),
        (["run", "hermitage", "--workload", "set"], "--workload is for scenarios"),
        (["run", "--report", "", "steady"], "'--report': it is empty"),
        (["run", "--plan", "", "steady"], "'--plan': it is empty"),
        (["replay", ""], "it is empty"),
        (["run", "--plan", "/nowhere/plan.json"], "/nowhere/plan.json: No such file"),
        (["replay", "/nowhere/journal.jsonl"], "/nowhere/journal.jsonl: No such file"),
        (["down", "nothing-of-the-kind"], "nothing is running"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_refused_in_one_line(within: Within, state: Path, arguments: list[str], said: str) -> None:
    result = within(*arguments)

    assert result.returncode == 2
    assert said in one_line(result)
    assert left_behind(state) == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run", "latencyy"], "did you mean latency?"),
        (["rum"], "did you mean run?"),
        (["proxy", "--port", "70000"], "70000"),
    ],
    ids=" ".join,
)
def test_a_wrong_request_is_refused_by_a_process_of_its_own_as_well(
    state: Path, arguments: list[str], said: str
) -> None:
    result = lab(state, *arguments)

    assert result.returncode == 2
    assert said in one_line(result)
    assert left_behind(state) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: "),
        ('{"steps": [\n  {"at": 1},\n  oops\n]}', ":3: "),
        ('{"steps": [{"at": 1, "fault": {"kind": "dwon"}}]}', "step 1: unknown fault 'dwon'"),
        ('{"steps": [{"at": 1, "fault": {"kind": "down", "on": "n9"}}]}', "no node 'n9'"),
        ('{"steps": [{"fault": {"kind": "down"}}]}', "step 1: needs one of"),
        ("[]", "must be an object"),
    ],
)
def test_a_malformed_plan_is_refused_with_its_place(
    within: Within, state: Path, tmp_path: Path, text: str, said: str
) -> None:
    plan = tmp_path / "plan.json"
    plan.write_text(text)

    result = within("run", "gateway-lost", "--plan", plan)

    assert result.returncode == 2
    assert said in one_line(result)
    assert left_behind(state) == []


def test_a_run_with_another_workload_is_judged_again_by_the_checks_of_that_workload(
    state: Path, tmp_path: Path
) -> None:
    report = tmp_path / "report"
    ran = lab(state, "run", "steady", "--workload", "orders", "--report", report, "--json")
    again = lab(state, "replay", report / "steady.jsonl", "--json", LAB_POSTGRES_BIN="/nowhere")

    assert ran.returncode == 0
    checks = answer(ran)["results"][0]["checks"]
    assert {"stock kept", "paid once"} <= {finding["check"] for finding in checks}
    assert answer(again)[0]["checks"] == checks


def test_a_malformed_journal_is_refused_with_its_line(state: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text('{"record":"phase","name":"x","at":0}\n')

    result = lab(state, "replay", journal)

    assert result.returncode == 2
    assert f"{journal}:1: not a journal" in one_line(result)


@pytest.mark.parametrize("command", [["run", "steady"], ["up"]], ids=" ".join)
def test_a_machine_without_postgresql_is_told_the_remedy(state: Path, command: list[str]) -> None:
    result = lab(state, *command, LAB_POSTGRES_BIN="/nowhere")

    assert result.returncode == 4
    assert "LAB_POSTGRES_BIN" in one_line(result)
    assert left_behind(state) == []


def test_a_state_folder_that_cannot_be_made_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = lab(tmp_path / "file" / "state", "run", "steady")

    assert result.returncode == 4
    assert "LAB_STATE_DIR" in one_line(result)


def test_a_state_folder_in_the_home_of_nobody_is_told_with_the_remedy(state: Path) -> None:
    result = lab(state, "status", LAB_STATE_DIR="~nobody-of-that-name/state")

    assert result.returncode == 4
    assert "LAB_STATE_DIR" in one_line(result)


def test_a_report_folder_that_cannot_be_written_is_told_with_the_remedy(state: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    result = lab(state, "run", "steady", "--report", tmp_path / "file" / "report")

    assert result.returncode == 4
    assert "--report" in one_line(result)
    assert left_behind(state) == []


# --- nothing left behind ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_heals_and_cleans(state: Path, number: signal.Signals) -> None:
    with running(state, "run", "steady", "black-hole") as process:
        read_until(process, "steady")
        process.send_signal(number)
        _, said = process.communicate(timeout=PATIENCE)

    assert process.returncode == 128 + number
    assert "everything was healed, stopped and removed" in said
    assert left_behind(state) == []


def test_a_signal_while_the_cluster_starts_leaves_nothing(state: Path) -> None:
    with running(state, "run", "steady") as process:
        eventually(lambda: bool(state.exists() and left_behind(state)))
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 130
    assert left_behind(state) == []


def killed_run(state: Path) -> None:
    """Kill a runner in the middle of a scenario; it leaves its server behind."""
    with running(state, "run", "steady", "black-hole") as process:
        read_until(process, "steady")
        process.kill()
    assert left_behind(state)


@pytest.mark.parametrize(
    ("victim", "said"), [("proxy", "the fault proxy ended"), ("postgres", "the database server ended")]
)
def test_what_dies_without_being_asked_makes_the_run_inconclusive(state: Path, victim: str, said: str) -> None:
    with running(state, "run", "black-hole", "--report", str(state / "report"), "--json") as process:
        eventually(lambda: '"armed"' in _text(state / "report" / "black-hole.jsonl"), within=PATIENCE)
        _process_of(state, victim).kill()
        told, complaints = process.communicate(timeout=PATIENCE)

    assert process.returncode == 3
    (check,) = json.loads(told)["results"][0]["checks"]
    assert check["why"].startswith(said)
    assert "SIGKILL" in check["why"]
    assert "Traceback" not in complaints
    shutil.rmtree(state / "report")
    assert left_behind(state) == []


def _text(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def _process_of(state: Path, what: str) -> psutil.Process:
    (folder,) = state.glob("run-*")
    if what == "postgres":
        return psutil.Process(int(_text(folder / "server" / "data" / "postmaster.pid").split()[0]))
    (proxy,) = [process for process in processes_of([folder])[folder] if "faults" in process.cmdline()]
    return proxy


def test_what_a_killed_run_has_left_is_removed_by_down(state: Path) -> None:
    killed_run(state)

    assert "(dead, " in lab(state, "down").stdout
    assert left_behind(state) == []
    assert lab(state, "down").stdout == "nothing to remove\n"


def test_what_a_killed_run_has_left_is_removed_by_the_next_run(state: Path) -> None:
    killed_run(state)

    assert lab(state, "run", "steady").returncode == 0
    assert left_behind(state) == []


def test_two_runs_at_once_do_not_meet_and_down_touches_neither(state: Path) -> None:
    with running(state, "run", "steady", "gateway-lost", "--json") as one:
        read_until(one, "steady")
        with running(state, "run", "commit-doubt", "--json") as other:
            down = lab(state, "down")
            results = [process.communicate(timeout=PATIENCE)[0] for process in (one, other)]

    assert down.stdout == "nothing to remove\n"
    assert [process.returncode for process in (one, other)] == [0, 0]
    assert [json.loads(result)["run"]["verdict"] for result in results] == ["pass", "pass"]
    assert left_behind(state) == []


def test_a_journal_of_a_killed_run_is_inconclusive(state: Path, tmp_path: Path) -> None:
    report = tmp_path / "report"
    journal = report / "black-hole.jsonl"
    with running(state, "run", "steady", "black-hole", "--report", str(report)) as process:
        read_until(process, "steady")
        eventually(
            lambda: (report / "black-hole.jsonl").exists() and "armed" in (report / "black-hole.jsonl").read_text()
        )
        process.kill()
    lab(state, "down")

    result = lab(state, "replay", journal)

    assert not read_journal(journal).history.complete
    assert result.returncode == 3
    assert "cut" in result.stdout


def test_two_downs_at_once_share_the_work(state: Path) -> None:
    lab(state, "up")
    lab(state, "up")
    with running(state, "down", "--json") as one, running(state, "down", "--json") as other:
        told = [process.communicate(timeout=PATIENCE) for process in (one, other)]

    assert [process.returncode for process in (one, other)] == [0, 0]
    assert [complaints for _, complaints in told] == ["", ""]
    assert sum(len(json.loads(answered)["removed"]) for answered, _ in told) == 2
    assert left_behind(state) == []


def test_down_leaves_a_cluster_alone_that_is_coming_up(state: Path) -> None:
    with running(state, "up", "--json") as process:
        eventually(lambda: any(processes_of(state.glob("up-*")).values()))
        process.send_signal(signal.SIGSTOP)
        down = lab(state, "down")
        process.send_signal(signal.SIGCONT)
        told, _ = process.communicate(timeout=PATIENCE)
    try:
        assert (process.returncode, down.stdout) == (0, "nothing to remove\n")
        assert psql(json.loads(told)["direct"]) == 0
    finally:
        lab(state, "down")
    assert left_behind(state) == []


# --- clusters that stay -----------------------------------------------------------------------------------------


def test_a_cluster_that_is_up_answers_until_it_is_down(state: Path) -> None:
    up = answer(lab(state, "up", "--json"))
    try:
        listed = answer(lab(state, "status", "--json"))
        codes = [psql(address) for address in (*up["nodes"].values(), up["direct"])]
    finally:
        down = answer(lab(state, "down", up["id"], "--json"))

    assert list(up["nodes"]) == ["n1", "n2", "n3"]
    assert listed[0]["id"] == up["id"]
    assert listed[0]["state"] == "detached"
    assert codes == [0, 0, 0, 0]
    assert down == {"removed": [up["id"]]}
    assert psql(up["nodes"]["n1"]) != 0
    assert left_behind(state) == []


def psql(dsn: str) -> int:
    """Return 0 if a query is answered at an address, in a process of its own."""
    program = f"import psycopg; psycopg.connect({dsn!r}, connect_timeout=5).execute('SELECT 1').fetchone()"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, check=False).returncode


# --- the rest ---------------------------------------------------------------------------------------------------


def test_the_doctor_finds_this_machine_able(state: Path) -> None:
    result = lab(state, "doctor", "--json")

    assert result.returncode == 0
    needed = {item["name"]: item["good"] for item in answer(result) if item["needed"]}
    assert needed == {"Python": True, "PostgreSQL": True, "state folder": True, "embedded cluster": True}
    assert left_behind(state) == []


def test_the_doctor_tells_what_a_machine_lacks(state: Path) -> None:
    result = lab(state, "doctor", LAB_POSTGRES_BIN="/nowhere")

    assert result.returncode == 4
    assert "✘ PostgreSQL" in result.stdout


def test_the_list_names_every_scenario_workload_and_cluster(state: Path) -> None:
    listed = answer(lab(state, "list", "--json"))

    assert {"steady", "latency", "commit-doubt", "total-outage"} <= {
        scenario["name"] for scenario in listed["scenarios"]
    }
    assert listed["clusters"] == ["compose", "embedded", "external", "local"]
    assert {"hermitage", "claims", "claims/pre-ping"} <= {study["name"] for study in listed["studies"]}
    table = lab(state, "list").stdout
    assert "hot-rows" in table
    assert "hermitage" in table
    assert {"bank", "list-append", "version-counter"} <= {workload["name"] for workload in listed["workloads"]}
    assert "version-counter" in table
    assert {"name": "node-lost", "title": "A node is lost", "needs": ["gateway loss"]} in listed["runbooks"]
    assert "node-lost" in table


def test_the_proxy_alone_is_a_drop_in(state: Path) -> None:
    with running(state, "proxy", "--port", "0", "--seed", "3") as process:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        busy = lab(state, "proxy", "--port", url.rpartition(":")[2])
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert busy.returncode == 4
    assert "in use" in busy.stderr
