"""What the command line does when its standard streams are closed, full, deserted, narrow or a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.test_cli import PATIENCE, environment, left_behind

LAB = f"'{sys.executable}' -m lab.cli"


def shell(state: Path, command: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a line of bash in which $LAB is the command; a pipe's exit code is that of its first failure."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("$LAB", LAB)],
        env={**environment(state), **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("$LAB list --json >&-", 0),
        ("$LAB list 2>&-", 0),
        ("$LAB run nothing 2>&-", 2),
        ("$LAB run steady --json <&- >&- 2>&-", 0),
    ],
)
def test_a_closed_stream_changes_no_answer(root: Path, command: str, code: int) -> None:
    result = shell(root, command)

    assert (result.returncode, result.stderr) == (code, "")
    assert left_behind(root) == []


@pytest.mark.parametrize("command", ["list", "list --json"])
def test_a_full_disk_behind_standard_output_is_told_in_one_line(root: Path, command: str) -> None:
    result = shell(root, f"$LAB {command} >/dev/full")

    assert result.returncode == 4
    assert result.stderr.splitlines() == [
        "lab: cannot write to standard output: No space left on device; send it elsewhere"
    ]


@pytest.mark.parametrize("command", ["list", "list --json"])
def test_a_reader_that_goes_away_ends_the_command_as_it_ends_others_and_is_no_verdict(root: Path, command: str) -> None:
    result = shell(root, f"$LAB {command} | true")

    assert (result.returncode, result.stderr) == (141, "")


def test_a_run_goes_on_to_its_verdict_when_nobody_hears_of_its_progress(root: Path) -> None:
    gone = shell(root, "$LAB run steady 2>&1 >/dev/null | true")
    full = shell(root, "$LAB run steady --json 2>/dev/full")

    assert gone.returncode == 0
    assert (full.returncode, json.loads(full.stdout)["run"]["verdict"]) == (0, "pass")
    assert left_behind(root) == []


def test_an_encoding_without_ticks_and_lines_gets_question_marks(root: Path) -> None:
    doctor = shell(root, "$LAB doctor", PYTHONIOENCODING="ascii", LAB_POSTGRES_BIN="/nowhere")
    run = shell(root, "$LAB run steady", PYTHONIOENCODING="ascii")

    assert (doctor.returncode, doctor.stderr) == (4, "")
    assert "? PostgreSQL" in doctor.stdout
    assert run.returncode == 0
    assert "? pass         steady" in run.stderr
    assert "steady" in run.stdout


def test_a_terminal_sees_progress_and_gets_its_line_back(root: Path) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "lab.cli", "run", "latency"],
        env={**environment(root), "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        try:
            seen = _read_to_the_end(ours)
            process.wait(PATIENCE)
        finally:
            process.kill()
            os.close(ours)

    assert process.returncode == 0
    for sign in ("starting the cluster", "[1/1]", "latency", "⚡", "pass", "\x1b[?25h"):  # the cursor is back
        assert sign in seen


def _read_to_the_end(terminal: int) -> str:
    seen = b""
    while True:
        try:
            read = os.read(terminal, 65_536)
        except OSError:  # the other end is closed
            return seen.decode()
        if not read:
            return seen.decode()
        seen += read
