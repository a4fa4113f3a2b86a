"""What never ends by itself: the command ends within its bounds, and with the exit code of what it saw."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.explore import shop

PATIENCE = 100.0
"""Seconds for a whole command on a busy machine; each of the policies below would go on for ever."""

POLICIES = """
import asyncio, time

async def once(sessions, work):
    async with sessions() as session, session.begin():
        return await work(session)

async def swallowing(sessions, work):
    try:
        return await once(sessions, work)
    except BaseException:
        while True:
            try:
                await asyncio.sleep(1)
            except asyncio.CancelledError:
                pass

async def retrying_everything(sessions, work):
    while True:
        try:
            return await once(sessions, work)
        except BaseException:
            pass

async def spinning(sessions, work):
    try:
        return await once(sessions, work)
    except BaseException:
        while True:
            pass

async def unstoppable(sessions, work):
    try:
        return await once(sessions, work)
    except BaseException:
        while True:
            try:
                while True:
                    pass
            except BaseException:
                pass

def synchronous(sessions, work):
    try:
        with sessions() as session, session.begin():
            return work(session)
    except BaseException:
        while True:
            time.sleep(1)

async def never_swallowing(sessions, work):
    while True:
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            pass

async def never_spinning(sessions, work):
    while True:
        pass

def never_synchronous(sessions, work):
    while True:
        time.sleep(1)
"""


async def lab(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "lab.cli", *arguments]
    running = subprocess.run  # in a thread: the tests share an event loop
    return await asyncio.to_thread(running, command, capture_output=True, text=True, timeout=PATIENCE, cwd=root)


@pytest.fixture
def policies(root: Path, tmp_path: Path) -> Path:
    """The policies in a file."""
    path = tmp_path / "endless.py"
    path.write_text(POLICIES)
    return path


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "spinning",
        pytest.param("swallowing", marks=pytest.mark.soak),
        pytest.param("retrying_everything", marks=pytest.mark.soak),
        pytest.param("unstoppable", marks=pytest.mark.soak),
        pytest.param("synchronous", marks=pytest.mark.soak),
    ],
)
async def test_a_policy_that_nothing_ends_is_judged_and_the_process_ends(policies: Path, name: str) -> None:
    ended = await lab(policies.parent, "validate", f"endless.py:{name}", "--deadline", "1", "--json")
    assert ended.returncode == 1, ended.stderr
    told = json.loads(ended.stdout)
    assert len(told["cases"]) > 30
    assert "fail" in told["dimensions"].values()
    assert "pass" not in {
        case["verdict"] for case in told["cases"] if case["said"] == "no answer" and case["attempts"] == 0
    }
    assert "Task was destroyed" not in ended.stderr


@pytest.mark.parametrize("name", ["never_swallowing", "never_spinning", "never_synchronous"])
async def test_a_policy_that_never_answers_on_the_clean_run_is_refused_in_one_line(policies: Path, name: str) -> None:
    ended = await lab(policies.parent, "validate", f"endless.py:{name}", "--deadline", "1")
    assert ended.returncode == 2, ended.stderr
    _, *lines = ended.stderr.splitlines()  # the first says what is judged
    assert len(lines) == 1
    assert "gave no answer within 1 s on the clean run" in lines[0]


@pytest.mark.usefixtures("root")
async def test_a_unit_that_nothing_ends_fails_the_exploration_and_the_process_ends() -> None:
    place = Path(shop.__file__)
    options = ("--effects", f"{place}:orders", "--setup", f"{place}:setup", "--within", "0.5", "--json")
    ended = await lab(Path.cwd(), "explore", f"{place}:unstoppable", *options)
    assert ended.returncode == 1, ended.stderr
    (only,) = json.loads(ended.stdout)["cases"]  # whatever came after it would be slowed down
    assert "goes on when it is cancelled" in only["why"]
    assert "Traceback" not in ended.stderr
