"""Run folders: found again, removed when their owner is dead, left alone otherwise."""

from __future__ import annotations

import fcntl
import os
import pwd
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lab.errors import EnvironmentProblem
from lab.state import RunFolder, RunInfo, end_processes, root_lock, state_root, survey, sweep

REPOSITORY = Path(__file__).parents[2]
SLEEPER = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
OWNER = """
import subprocess, sys, time
from pathlib import Path
from lab.state import RunFolder
run = RunFolder.create("run", Path(sys.argv[1]))
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=run.environment())
print(run.id, child.pid, flush=True)
time.sleep(60)
"""


@contextmanager
def python(code: str, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """A child process that has printed its first line, which is in ``line``; killed at the end if need be."""
    env = {**(environment or os.environ), "PYTHONPATH": str(REPOSITORY)}
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], env=env, stdout=subprocess.PIPE, text=True
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def first_line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def killed_owner(root: Path) -> tuple[str, int]:
    """Return the id of a run whose owner was killed, and the pid of the process that it left behind."""
    with python(OWNER, str(root)) as owner:
        run, pid = first_line(owner).split()
        owner.kill()
        owner.wait(10)
    return run, int(pid)


def states(root: Path) -> dict[str, str]:
    return {info.id: info.state for info in survey(root)}


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_a_run_lives_as_long_as_its_owner(root: Path) -> None:
    run = RunFolder.create("run", root)
    assert sweep(root) == []
    assert states(root) == {run.id: "live"}
    run.remove(within=5)
    assert survey(root) == []


def test_the_owners_folder_admits_the_servers_account_but_shows_it_nothing(root: Path) -> None:
    run = RunFolder.create("run", root / "new")
    assert [stat.S_IMODE(path.stat().st_mode) for path in (root / "new", run.path)] == [0o711, 0o711]
    run.remove(within=5)


def test_removing_twice_is_the_same_as_once(root: Path) -> None:
    run = RunFolder.create("run", root)
    run.remove(within=5)
    run.remove(within=5)
    assert not run.path.exists()


def test_a_folder_that_somebody_deleted_already_can_be_removed(root: Path) -> None:
    run = RunFolder.create("run", root)
    run.path.rmdir()
    run.remove(within=5)


def test_a_killed_owner_leaves_a_dead_run_which_a_sweep_removes_with_its_processes(root: Path) -> None:
    mine = RunFolder.create("run", root)
    run, pid = killed_owner(root)
    assert alive(pid)
    assert states(root) == {mine.id: "live", run: "dead"}
    assert [(info.id, info.processes) for info in sweep(root)] == [(run, (pid,))]
    assert not alive(pid)
    assert states(root) == {mine.id: "live"}
    mine.remove(within=5)


def test_a_sweep_ends_no_process_of_a_live_run(root: Path) -> None:
    mine = RunFolder.create("run", root)
    with python(SLEEPER, environment=mine.environment()) as child:
        first_line(child)
        killed_owner(root)
        sweep(root)
        assert child.poll() is None
        assert [info.processes for info in survey(root)] == [(child.pid,)]
        mine.remove(within=5)
        assert child.wait(5) == -signal.SIGTERM


def test_of_two_sweeps_at_once_each_run_is_removed_by_one(root: Path) -> None:
    runs = sorted(killed_owner(root)[0] for _ in range(4))
    gate = threading.Barrier(2)

    def race() -> list[RunInfo]:
        gate.wait(10)
        return sweep(root)

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.submit(race), pool.submit(race)
        assert sorted(info.id for info in first.result(30) + second.result(30)) == runs
    assert survey(root) == []


def test_a_detached_run_outlives_its_owner_until_its_last_process_ends(root: Path) -> None:
    run = RunFolder.create("up", root)
    with python(SLEEPER, environment=run.environment()) as child:
        first_line(child)
        run.detach()
        assert sweep(root) == []
        assert states(root) == {run.id: "detached"}
        child.kill()
        child.wait(5)
        assert states(root) == {run.id: "dead"}
        assert [info.id for info in sweep(root)] == [run.id]


def test_a_detached_run_can_be_adopted_and_removed(root: Path) -> None:
    run = RunFolder.create("up", root)
    with python(SLEEPER, environment=run.environment()) as child:
        first_line(child)
        run.detach()
        adopted = RunFolder.adopt(run.path)
        assert states(root) == {run.id: "live"}
        adopted.remove(within=5)
        assert child.wait(5) == -signal.SIGTERM
    assert survey(root) == []


def test_a_live_run_cannot_be_adopted(root: Path) -> None:
    run = RunFolder.create("run", root)
    with pytest.raises(EnvironmentProblem, match="is in use"):
        RunFolder.adopt(run.path)
    run.remove(within=5)


def test_a_run_that_another_sweep_removed_just_now_cannot_be_adopted(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / killed_owner(root)[0]
    claim = fcntl.flock

    def lose_the_race(fd: int, operation: int) -> None:
        if path.exists() and os.fstat(fd).st_ino == path.stat().st_ino:
            path.rmdir()
        claim(fd, operation)

    monkeypatch.setattr(fcntl, "flock", lose_the_race)
    with pytest.raises(EnvironmentProblem, match="in use or gone"):
        RunFolder.adopt(path)
    monkeypatch.undo()
    end_processes(path, within=10)


def test_a_process_that_ignores_the_polite_signal_is_killed(root: Path) -> None:
    run = RunFolder.create("run", root)
    with python(STUBBORN, environment=run.environment()) as child:
        first_line(child)
        run.remove(within=0.1)
        assert child.wait(5) == -signal.SIGKILL


def test_a_paused_process_is_ended_politely(root: Path) -> None:
    run = RunFolder.create("run", root)
    with python(SLEEPER, environment=run.environment()) as child:
        first_line(child)
        child.send_signal(signal.SIGSTOP)
        run.remove(within=10)
        assert child.wait(5) == -signal.SIGTERM


def test_the_description_is_for_this_user_only_and_comes_back(root: Path) -> None:
    run = RunFolder.create("up", root)
    run.describe({"ports": [1, 2], "password": "secret"})
    run.describe({"ports": [3]})
    assert [info.info for info in survey(root)] == [{"ports": [3]}]
    assert [(path.name, stat.S_IMODE(path.stat().st_mode)) for path in run.path.iterdir()] == [("run.json", 0o600)]
    run.remove(within=5)


@pytest.mark.parametrize("text", ["", "{", "[]", "\xff"])
def test_a_damaged_description_reads_as_an_empty_one(root: Path, text: str) -> None:
    run = RunFolder.create("up", root)
    (run.path / "run.json").write_bytes(text.encode("latin-1"))
    assert [info.info for info in survey(root)] == [{}]
    run.remove(within=5)


def test_a_run_killed_while_being_created_is_swept(root: Path) -> None:
    (root / "run-20260101-000000-0123abcd").mkdir()
    assert [info.state for info in sweep(root)] == ["dead"]


def test_folders_that_are_no_runs_are_left_alone(root: Path) -> None:
    (root / "cache").mkdir()
    (root / "run-20260101-000000-0123abcd").symlink_to(root / "cache")
    assert sweep(root) == []
    assert sorted(path.name for path in root.iterdir()) == ["cache", "run-20260101-000000-0123abcd"]


def test_a_run_is_not_judged_while_it_is_being_created(root: Path) -> None:
    with root_lock(root, within=1), pytest.raises(EnvironmentProblem, match="stayed locked"):
        survey(root, within=0.05)
    with root_lock(root, within=1), pytest.raises(EnvironmentProblem, match="stayed locked"):
        RunFolder.create("run", root, within=0.05)


def test_a_root_that_does_not_exist_holds_no_run(root: Path) -> None:
    assert survey(root / "absent") == []
    assert not (root / "absent").exists()


def test_the_variable_chooses_the_root(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert state_root() == root
    monkeypatch.delenv("LAB_STATE_DIR")
    assert state_root().name == f"resilience-lab-{os.getuid()}"


def test_a_root_that_is_a_link_is_refused(root: Path) -> None:
    (root / "link").symlink_to(root)
    with pytest.raises(EnvironmentProblem, match=r"not a folder but a link.*; set LAB_STATE_DIR"):
        RunFolder.create("run", root / "link")


def test_a_root_that_others_may_write_in_is_refused(root: Path) -> None:
    (root / "open").mkdir()
    (root / "open").chmod(0o777)
    with pytest.raises(EnvironmentProblem, match="writable by other users; set LAB_STATE_DIR"):
        RunFolder.create("run", root / "open")
    assert stat.S_IMODE((root / "open").stat().st_mode) == 0o777


@pytest.mark.usefixtures("root_only")
def test_a_root_of_another_user_is_refused(root: Path) -> None:
    (root / "theirs").mkdir()
    os.chown(root / "theirs", pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(EnvironmentProblem, match="belongs to another user; set LAB_STATE_DIR"):
        RunFolder.create("run", root / "theirs")


def test_a_root_that_cannot_be_made_is_a_problem_of_one_line_with_the_remedy() -> None:
    with pytest.raises(EnvironmentProblem) as caught:
        RunFolder.create("run", Path("/dev/null/lab"))
    message = str(caught.value)
    assert message.startswith("cannot write in /dev/null/lab: ")
    assert message.endswith("; set LAB_STATE_DIR to a folder of your own")
    assert "\n" not in message


@pytest.mark.usefixtures("root_only")
def test_a_full_disk_is_named_as_such(root: Path) -> None:
    disk = root / "disk"
    disk.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k,nr_inodes=1,mode=0711", "tmpfs", str(disk)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        with pytest.raises(EnvironmentProblem, match=r"the disk of .* is full; free space or set LAB_STATE_DIR"):
            RunFolder.create("run", disk)
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_an_id_tells_kind_and_time_and_a_bad_kind_is_refused(root: Path) -> None:
    run = RunFolder.create("up", root)
    kind, day, _, _ = run.id.split("-")
    assert (kind, day[:4]) == ("up", time.strftime("%Y", time.gmtime()))
    run.remove(within=5)
    with pytest.raises(ValueError, match="kind must be"):
        RunFolder.create("../x", root)
