"""A throw-away PostgreSQL server on loopback, inside one folder, that can be crashed and started again."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar

import psutil

from lab._shared_memory import release_shared_memory
from lab.clusters import _postmaster
from lab.clusters._account import Account, server_account
from lab.clusters._binaries import Binaries, find_binaries
from lab.clusters._ports import free_port
from lab.errors import EnvironmentProblem
from lab.state import MARKER

__all__ = ["Binaries", "PostgresServer", "find_binaries", "free_port"]

POLL: Final = 0.002
PORT_RETRY: Final = 0.05
STOPPING: Final = 1.0
T = TypeVar("T")


class PostgresServer:
    """One server; its data, log and everything else it writes are inside *folder*.

    The server keeps its port over restarts. It ends neither with its owner nor at Ctrl-C; the run folder whose
    *environment* it was given ends it at the latest. As root it runs as the account nobody.
    """

    host: Final = "127.0.0.1"
    user: Final = "lab"
    database: Final = "postgres"

    def __init__(self, folder: Path, binaries: Binaries, environment: Mapping[str, str]) -> None:
        """Name the server; nothing is written or started before `create` and `start`."""
        self.folder: Final = folder.absolute()
        self.binaries: Final = binaries
        self.password: Final = _postmaster.new_password()
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def port(self) -> int:
        """The TCP port; it stays the same once the server has started.

        Raises:
            RuntimeError: the server was never started.
        """
        if self._port is None:
            raise RuntimeError("the server has no port before it was started")
        return self._port

    @property
    def pid(self) -> int | None:
        """The process id of the postmaster, None while it is not running."""
        return self._process.pid if self._process is not None and self.running else None

    @property
    def running(self) -> bool:
        """Whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    def log_tail(self, lines: int = 20) -> str:
        """Return the last *lines* lines of the server's log; empty if there is none."""
        return "\n".join(_postmaster.log_since(self._log, 0).splitlines()[-lines:])

    def last_words(self) -> str:
        """Return why a server that has ended did so: the signal that killed it, else the end of its log."""
        code = self._process.poll() if self._process is not None else None
        return self.log_tail(1) if code is None or code >= 0 else f"killed by {signal.Signals(-code).name}"

    async def create(self, within: float) -> None:
        """Make the data folder (initdb), which must not exist yet, in at most *within* seconds.

        Cancelled, it first lets initdb finish, some tenths of a second: a killed one would leave shared memory.

        Raises:
            EnvironmentProblem: initdb failed or took too long; disk full; the server's account cannot reach the folder.
        """
        account = server_account()
        try:
            await _to_its_end(lambda: self._create(account, within))
        except OSError as error:
            raise _postmaster.failure("cannot create a database", f"error: {error}") from error

    async def start(self, within: float) -> None:
        """Start the server and wait until it takes connections, at most *within* seconds; nothing if it is running.

        The first start picks a free port, and another if somebody was faster. Cancelled, it leaves no server.

        Raises:
            EnvironmentProblem: the server ended, with its reason; it was not ready in time; its port was taken.
        """
        deadline = time.monotonic() + within
        account = server_account()
        fixed = self._port
        began = self._log_size()
        while not self.running:
            self._port = fixed or free_port()
            offset = self._log_size()
            try:
                self._launch(account)
                ready = await self._ready(deadline)
            except BaseException:
                await _to_its_end(self._abandon)
                raise
            if ready:
                return
            if time.monotonic() > deadline:
                said = _postmaster.log_since(self._log, began)
                raise _postmaster.failure(f"PostgreSQL was not ready within {within:g} s", said)
            said = _postmaster.log_since(self._log, offset)
            if _postmaster.ADDRESS_IN_USE not in said:
                raise _postmaster.failure("PostgreSQL did not start", said)
            await asyncio.sleep(PORT_RETRY)

    async def stop(self, within: float) -> None:
        """End the server: sessions are cut, data is written; after *within* seconds it is killed. Idempotent.

        Raises:
            EnvironmentProblem: its processes do not end even when killed.
        """
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.send_signal(signal.SIGCONT)  # a fault may have paused it
            await self._ended(time.monotonic() + within)
            await self.crash(within)
        release_shared_memory(self.data)

    async def crash(self, within: float) -> None:
        """Kill every process of the server as one, and wait at most *within* seconds until they are gone.

        Raises:
            EnvironmentProblem: they are not gone in time.
        """
        process = self._process
        if process is not None and self.running:
            await _to_its_end(lambda: _kill_family(process, within))

    @property
    def _log(self) -> Path:
        return self.folder / "server.log"

    def _log_size(self) -> int:
        return self._log.stat().st_size if self._log.exists() else 0

    def _create(self, account: Account, within: float) -> None:
        self.folder.mkdir(exist_ok=True)
        self.folder.chmod(0o711)
        self.data.mkdir()
        self.data.chmod(0o700)
        account.own(self.data)
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(_postmaster.verifier(self.password), encoding="ascii")
        account.own(secret)
        try:
            self._initdb(account, secret, within)
        finally:
            secret.unlink()
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            name = Path(self._environment.get(MARKER, str(self.folder))).name
            file.write(_postmaster.settings(self.binaries.version, name))

    def _initdb(self, account: Account, secret: Path, within: float) -> None:
        command: list[str | Path] = [self.binaries.bin_dir / "initdb", "-D", self.data, "-U", self.user]
        command += ["--no-sync", "--no-instructions", "--locale=C", "--encoding=UTF8", "--auth=scram-sha-256"]
        command.append(f"--pwfile={secret}")
        if self.binaries.version >= (18,):
            command.append("--no-data-checksums")
        with account.start(command, self._environment, subprocess.PIPE) as process:
            try:
                output, _ = process.communicate(timeout=within)
            except subprocess.TimeoutExpired:
                _kill_family(process, STOPPING)
                release_shared_memory(self.data)
                raise EnvironmentProblem(
                    f"initdb did not end within {within:g} s", "try on a less busy machine"
                ) from None
        if process.returncode != 0:
            raise _postmaster.failure("initdb failed", output.decode("utf-8", "replace"))

    def _launch(self, account: Account) -> None:
        # -D comes first: it is how lab.state tells a postmaster from initdb's helpers.
        command: list[str | Path] = [self.binaries.bin_dir / "postgres", "-D", self.data, "-c", f"port={self._port}"]
        try:
            with self._log.open("ab") as log:
                self._log.chmod(0o600)
                self._process = account.start(command, self._environment, log)
        except OSError as error:
            raise _postmaster.failure("PostgreSQL cannot be started", f"error: {error}") from error

    async def _ended(self, deadline: float) -> None:
        while self.running:
            if time.monotonic() > deadline:
                return
            await asyncio.sleep(POLL)

    async def _ready(self, deadline: float) -> bool:
        while self._process is not None and self.running and time.monotonic() < deadline:
            if _postmaster.is_ready(self.data, self._process.pid):
                return True
            await asyncio.sleep(POLL)
        await _to_its_end(self._abandon)
        return False

    def _abandon(self) -> None:
        process = self._process
        if process is None:
            return
        process.send_signal(signal.SIGQUIT)
        try:
            process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            _kill_family(process, STOPPING)
        release_shared_memory(self.data)


def _kill_family(process: subprocess.Popen[bytes], within: float) -> None:
    """Kill *process* and all below it before one of them can act on the end of another."""
    deadline = time.monotonic() + within
    try:
        head = psutil.Process(process.pid)
        head.suspend()
        while head.status() not in (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE) and time.monotonic() < deadline:
            time.sleep(POLL)  # until then it could still fork
        family = [head, *head.children(recursive=True)]
    except psutil.NoSuchProcess:
        family = []
    # The postmaster last: a backend that outlives it by a moment tells its client so (57P01) before it is killed.
    for member in reversed(family):
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    while process.poll() is None or any(_lives(member) for member in family[1:]):
        if time.monotonic() > deadline:
            raise EnvironmentProblem(f"killed processes did not end within {within:g} s", "look whether the disk hangs")
        time.sleep(POLL)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


async def _to_its_end(work: Callable[[], T]) -> T:
    """Run *work* in a thread; a cancellation waits for its end, so that nothing goes on behind the caller's back."""
    task = asyncio.ensure_future(asyncio.to_thread(work))
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        if task.done() and not task.cancelled():
            task.exception()  # the cancellation is the news; the error must not be reported as forgotten
        raise
