"""Run folders: whatever a run creates lives in one folder and is found again when its owner was killed.

A run is *live* while its owner lives, *detached* when it was left running on purpose, and *dead* otherwise. The owner
holds a lock (flock) on the folder itself, which the kernel releases however the owner ends; systemd-tmpfiles too
leaves a locked folder alone. Decisions about runs are taken under a lock on the root folder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias

from lab._containers import project_of, remove_project
from lab._processes import MARKER, end_processes, processes_of
from lab.errors import EngineAway, EnvironmentProblem

__all__ = [
    "JSON",
    "MARKER",
    "RunFolder",
    "RunInfo",
    "claim",
    "end_processes",
    "root_lock",
    "state_root",
    "survey",
    "sweep",
]

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

ROOT_VARIABLE: Final = "LAB_STATE_DIR"
LOCK_WAIT: Final = 30.0
RUN_ID: Final = re.compile(r"[a-z][a-z0-9]*-\d{8}-\d{6}-[0-9a-f]{8}")
DESCRIPTION: Final = "run.json"
DETACHED: Final = "detached"


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A run as found on disk: *processes* are the pids alive now, *info* is what `describe` was given, else {}."""

    id: str
    path: Path
    kind: str
    state: Literal["live", "detached", "dead"]
    processes: tuple[int, ...]
    info: Mapping[str, JSON]


class RunFolder:
    """A folder that this process owns, and with it every process that was started with `environment`."""

    __slots__ = ("_fd", "path")

    def __init__(self, path: Path, fd: int) -> None:
        """Take over *path* (absolute) with *fd*, which holds its lock; use `create` or `adopt`."""
        self.path: Final = path
        self._fd: int | None = fd

    @classmethod
    def create(cls, kind: str, root: Path | None = None, within: float = LOCK_WAIT) -> RunFolder:
        """Make a new folder named after *kind* (lower-case letters and digits) under *root*, by default `state_root()`.

        Waits at most *within* seconds for others that are just creating or sweeping.

        Raises:
            EnvironmentProblem: the root is not usable: another user's, not writable, disk full, or locked too long.
        """
        root = _canonical(state_root() if root is None else root)
        identity = f"{kind}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        if not RUN_ID.fullmatch(identity):
            raise ValueError(f"kind must be lower-case letters and digits, not {kind!r}")
        path = root / identity
        with root_lock(root, within), _explained(root):
            path.mkdir()
            path.chmod(0o711)
            fd = _lock(path)
            if fd is None:
                raise EnvironmentProblem(f"{root} does not support locks", f"set {ROOT_VARIABLE} to a local disk")
        return cls(path, fd)

    @classmethod
    def adopt(cls, path: Path, within: float = LOCK_WAIT) -> RunFolder:
        """Become the owner of a detached or dead run, so as to `remove` it; waits *within* seconds for the root's lock.

        Raises:
            EnvironmentProblem: the run is owned by a living process, or is gone.
        """
        claimed = claim(path, within)
        if claimed is None:
            raise EnvironmentProblem(f"the run {path.name} is in use or gone", "stop the process that owns it first")
        return claimed

    @property
    def id(self) -> str:
        """Unique and readable: kind, UTC time and a random part; at most 63 characters."""
        return self.path.name

    def environment(self) -> dict[str, str]:
        """Return the environment for every process of the run: ours, and the marker by which it is found."""
        return {**os.environ, MARKER: str(self.path)}

    def describe(self, info: Mapping[str, JSON]) -> None:
        """Write *info* for `survey` to show, in one step and readable by this user only (it may hold passwords).

        Raises:
            EnvironmentProblem: the disk is full or the folder is gone.
        """
        draft = self.path / f".{DESCRIPTION}.{secrets.token_hex(4)}"
        with _explained(self.path):
            fd = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(fd, "w", encoding="utf-8") as file:
                json.dump(info, file)
            draft.replace(self.path / DESCRIPTION)

    def detach(self) -> None:
        """Let the run outlive its owner: sweeps leave it alone for as long as one of its processes lives."""
        with _explained(self.path):
            (self.path / DETACHED).touch(mode=0o600)
        self.let_go()

    def remove(self, within: float) -> None:
        """End every process of the run, by force after *within* seconds, then delete the folder; blocks. Idempotent.

        Raises:
            EnvironmentProblem: a process cannot be killed or a file cannot be deleted.
        """
        if self._fd is None:
            return
        end_processes(self.path, within)
        project = project_of(self.path)
        if project is not None:
            remove_project(project, volumes=True)
        with _explained(self.path), suppress(FileNotFoundError):
            shutil.rmtree(self.path)
        self.let_go()

    def let_go(self) -> None:
        """Own the folder no longer; it stays as it is."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def state_root() -> Path:
    """Return the folder of all runs of this user: $LAB_STATE_DIR or one in the temporary folder; it may not exist yet.

    Raises:
        EnvironmentProblem: there is no temporary folder to write in, or no home of the user that the variable names.
    """
    chosen = os.environ.get(ROOT_VARIABLE)
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise EnvironmentProblem(
                f"{ROOT_VARIABLE}={chosen} names no home folder", "set it to a full path"
            ) from error
    try:
        return Path(tempfile.gettempdir()).absolute() / f"resilience-lab-{os.getuid()}"
    except FileNotFoundError as error:
        raise _problem(error, Path("/tmp")) from error  # noqa: S108 - only named in the message


def survey(root: Path | None = None, within: float = LOCK_WAIT) -> list[RunInfo]:
    """Return every run under *root*, oldest first; waits at most *within* seconds for the root's lock.

    Raises:
        EnvironmentProblem: the root is not ours or stays locked.
    """
    root = _canonical(state_root() if root is None else root)
    if not root.exists():
        return []
    with root_lock(root, within):
        runs = _runs(root)
        owned = {path: _is_owned(path) for path in runs}  # first: a run without owner starts nothing any more
        processes = processes_of(runs)
        return [_judge(path, owned[path], [process.pid for process in processes[path]]) for path in runs]


def sweep(root: Path | None = None, within: float = LOCK_WAIT, grace: float = 5.0) -> list[RunInfo]:
    """Remove every dead run under *root* and return those; live and detached ones are not touched.

    Waits *within* seconds for the root's lock; gives each run's processes *grace* seconds before it kills them. Of two
    sweeps at once each run is removed by one. Runs with containers wait for a sweep that finds the Docker engine.

    Raises:
        EnvironmentProblem: the root is not ours or stays locked, or a run cannot be removed.
    """
    removed = []
    for info in survey(root, within):
        claimed = claim(info.path, within) if info.state == "dead" else None
        if claimed is not None:
            try:
                claimed.remove(grace)
            except EngineAway:
                claimed.let_go()
            else:
                removed.append(info)
    return removed


@contextmanager
def root_lock(root: Path, within: float) -> Iterator[None]:
    """Hold the lock of the *root* folder, made if need be; waits at most *within* seconds.

    Raises:
        EnvironmentProblem: the folder is a link, another user's, writable by others, not to be made, or stays locked.
    """
    deadline = time.monotonic() + within
    _prepare(root)
    while (fd := _lock(root)) is None:
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"{root} stayed locked for {within:g} s", "end the lab process that hangs")
        time.sleep(0.005)
    try:
        yield
    finally:
        os.close(fd)


def _prepare(root: Path) -> None:
    remedy = f"set {ROOT_VARIABLE} to a folder of your own"
    with _explained(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            root.mkdir()
            root.chmod(0o711)  # as root, the server's account has to pass through it
        found = root.lstat()
    if not stat.S_ISDIR(found.st_mode):
        raise EnvironmentProblem(f"the state folder {root} is not a folder but a link or a file", remedy)
    if found.st_uid != os.getuid():
        raise EnvironmentProblem(f"the state folder {root} belongs to another user", remedy)
    if found.st_mode & 0o022:
        raise EnvironmentProblem(f"the state folder {root} is writable by other users", remedy)


def _canonical(root: Path) -> Path:
    """One spelling for each root, since processes are found by it; the root itself must not be a link."""
    return root.absolute().parent.resolve() / root.name


def _runs(root: Path) -> list[Path]:
    found = [path for path in root.iterdir() if RUN_ID.fullmatch(path.name) and path.is_dir() and not path.is_symlink()]
    return sorted(found, key=lambda path: path.name.partition("-")[2])


def _judge(path: Path, owned: bool, processes: Sequence[int]) -> RunInfo:
    detached = bool(processes) and (path / DETACHED).exists()
    return RunInfo(
        id=path.name,
        path=path,
        kind=path.name.partition("-")[0],
        state="live" if owned else "detached" if detached else "dead",
        processes=tuple(processes),
        info=_description(path),
    )


def _is_owned(path: Path) -> bool:
    fd = _lock(path)
    if fd is not None:
        os.close(fd)
    return fd is None


def claim(path: Path, within: float = LOCK_WAIT) -> RunFolder | None:
    """Own a run that has no living owner, so as to remove it; None if it has one, or is gone: others were faster.

    Raises:
        EnvironmentProblem: the root stayed locked for *within* seconds.
    """
    with root_lock(path.parent, within):
        fd = _lock(path)
    return None if fd is None else RunFolder(path, fd)


def _description(path: Path) -> Mapping[str, JSON]:
    try:
        info = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


def _lock(folder: Path) -> int | None:
    """Return a descriptor that holds the lock of *folder*; None if it is held elsewhere or the folder is gone."""
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(fd).st_ino == folder.stat().st_ino:
            return fd
    except OSError:
        pass  # held by its owner, or deleted by its last one while we opened it
    os.close(fd)
    return None


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _problem(error, path) from error


def _problem(error: OSError, path: Path) -> EnvironmentProblem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return EnvironmentProblem(f"the disk of {path} is full", f"free space or set {ROOT_VARIABLE} to another disk")
    reason = error.strerror or str(error)
    return EnvironmentProblem(f"cannot write in {path}: {reason}", f"set {ROOT_VARIABLE} to a folder of your own")
