"""Find and end the processes of a run, by what they carry and never by a remembered pid."""

from __future__ import annotations

import os
import pwd
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

from lab._shared_memory import release_shared_memory
from lab.errors import EnvironmentProblem

MARKER = "LAB_RUN"
"""The environment variable that every process of a run carries: the run's absolute folder."""

KILL_GRACE = 5.0
POLL = 0.005


def processes_of(folders: Iterable[Path]) -> dict[Path, list[psutil.Process]]:
    """Return for each of the run *folders* its living processes; this process itself is never among them.

    A process belongs to a run if its environment carries the marker, if it is a PostgreSQL server on a data folder
    inside the run's, or one of its children. PostgreSQL's children write their title over their environment, and
    root in a container may not read the environment of others; hence the titles, which show the run's id because
    the lab sets it as ``cluster_name``.
    """
    found: dict[Path, list[psutil.Process]] = {folder: [] for folder in folders}
    by_id = {folder.name: folder for folder in found}
    accounts = _our_accounts()
    for process in psutil.process_iter() if found else ():
        try:
            folder = _run_of(process, by_id) if process.uids().real in accounts else None
        except psutil.Error:
            continue
        if folder in found and process.pid != os.getpid():
            found[folder].append(process)
    return found


def end_processes(folder: Path, within: float) -> None:
    """End every process of the run *folder* in an orderly way; what lives after *within* seconds is killed.

    PostgreSQL is asked for an immediate shutdown, in which it gives its shared memory back; an initdb is let finish;
    others get SIGTERM. Shared memory that killed servers left is removed.

    Raises:
        EnvironmentProblem: a process is still there ``KILL_GRACE`` seconds after it was killed.
    """
    deadline = time.monotonic() + within
    asked: set[psutil.Process] = set()
    while alive := processes_of([folder])[folder]:
        if time.monotonic() > deadline + KILL_GRACE:
            raise _immortal(alive)
        if time.monotonic() > deadline:
            _each(alive, psutil.Process.kill)
        else:
            _each((process for process in alive if process not in asked), _ask)
            asked.update(alive)
        time.sleep(POLL)
    for record in (*folder.glob("*/postmaster.pid"), *folder.glob("*/*/postmaster.pid")):
        release_shared_memory(record.parent)


def _run_of(process: psutil.Process, by_id: dict[str, Path]) -> Path | None:
    command = process.cmdline()
    if not command:
        return None  # a zombie, or a thread of the kernel
    if command[0].startswith("postgres: "):
        return by_id.get(command[0].split(": ")[1])
    if "-D" in command[:-1]:
        data = Path(command[command.index("-D") + 1])
        inside = next((run for run in by_id.values() if data.is_relative_to(run)), None)
        if inside is not None:
            return inside
    marked = process.environ().get(MARKER)
    return Path(marked) if marked else None


def _our_accounts() -> set[int]:
    ours = {os.getuid()}
    if os.getuid() == 0:
        with suppress(KeyError):
            ours.add(pwd.getpwnam("nobody").pw_uid)
    return ours


def _ask(process: psutil.Process) -> None:
    command = process.cmdline()
    program = Path(command[0]).name if command else ""
    if program.startswith("postgres: ") or (program == "postgres" and command[1:2] == ["-D"]):
        process.send_signal(signal.SIGQUIT)
    elif program != "postgres" and not _makes_a_database(process):
        process.terminate()
    process.resume()  # a process that a fault had paused could not obey


def _makes_a_database(process: psutil.Process) -> bool:
    """Tell an initdb and its helpers, a shell among them, which last half a second and are let finish.

    Killed half-way its servers would leave shared memory that no file names.
    """
    return any(relative.name() == "initdb" for relative in (process, *process.parents()))


def _each(processes: Iterable[psutil.Process], act: Callable[[psutil.Process], None]) -> None:
    for process in sorted(processes, key=lambda process: process.pid):  # a postmaster is older than its children
        try:
            act(process)
        except psutil.Error:
            continue


def _immortal(processes: Iterable[psutil.Process]) -> EnvironmentProblem:
    pids = ", ".join(str(process.pid) for process in processes)
    return EnvironmentProblem(
        f"the processes {pids} do not end even when killed", "look whether their disk hangs, then run 'lab down' again"
    )
