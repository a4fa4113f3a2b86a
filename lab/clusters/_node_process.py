"""One database node as a process of this machine: started, killed, paused, drained, with its log kept."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import aiohttp
import psutil

from lab.db.target import Address
from lab.errors import EnvironmentProblem, Unhealthy

POLL: Final = 0.02
"""Seconds between two looks at a process or at its readiness."""

KILLED: Final = 10.0
"""Seconds in which a killed process is gone."""

HTTP_TIMEOUT: Final = 1.0
"""Seconds for one question about readiness."""

LAST_WORDS: Final = 300
"""Characters of a log that a message quotes."""


class NodeProcess:
    """The node *name*; *command* starts it, *http* answers whether it is ready, *log* has what it says."""

    def __init__(
        self, name: str, command: Sequence[str | Path], http: Address, log: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.log = log
        self._command = command
        self._http = http
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._leaving = False

    @property
    def url(self) -> str:
        """Its HTTP address."""
        return f"http://{self._http}"

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start the process, in a session of its own so that Ctrl-C does not reach it; nothing if it lives.

        Raises EnvironmentProblem if the program cannot be executed.
        """
        if self.running:
            return
        self._leaving = False
        try:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    self._command,
                    cwd="/",
                    env=dict(self._environment),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        except OSError as error:
            problem = f"{self._command[0]} cannot be executed: {error.strerror}"
            raise EnvironmentProblem(problem, "name a cockroach binary for this machine with --binary") from error

    async def listening(self, within: float) -> None:
        """Return once it answers on its HTTP address at all; a node that waits for `init` does that, too."""
        await self._answers("/health", within, any_status=True)

    async def ready(self, within: float) -> None:
        """Return once it takes queries; raise Unhealthy, with its last words, if it ends or *within* seconds pass."""
        await self._answers("/health?ready=1", within, any_status=False)

    async def _answers(self, path: str, within: float, *, any_status: bool) -> None:
        deadline = time.monotonic() + within
        timeout = aiohttp.ClientTimeout(total=HTTP_TIMEOUT)
        async with aiohttp.ClientSession(timeout=timeout) as client:
            while self.running:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with client.get(f"{self.url}{path}") as response:
                        if any_status or response.status == 200:
                            return
                if time.monotonic() > deadline:
                    raise Unhealthy(f"node {self.name} was not ready within {within:g} s: {self.last_words()}")
                await asyncio.sleep(POLL)
        raise Unhealthy(f"node {self.name} ended: {self.last_words()}")

    def last_words(self) -> str:
        """Return the signal that killed it, else the end of its log."""
        code = self._process.poll() if self._process is not None else None
        if code is not None and code < 0:
            return f"killed by {signal.Signals(-code).name}"
        said = self.log.read_text(errors="replace").strip() if self.log.exists() else ""
        return " ".join(said[-LAST_WORDS:].split()) or "it said nothing"

    async def kill(self) -> str:
        """Kill it and return, in words, what was killed.

        Raises Unhealthy if it is not running, for then nothing was done to it, or if it is not gone in time.
        """
        process = self._living("killed")
        self._leaving = True
        process.kill()
        await self._end(KILLED)
        return f"{self.name} (process {process.pid}) killed"

    async def gone(self) -> None:
        """Kill it if it is there, for whatever reason; nothing if it is not."""
        if self.running:
            await self.kill()

    async def gone_if_told_so(self) -> None:
        """Have it gone if it was told to end and has not yet: it will not run on."""
        if self._leaving:
            await self.gone()

    async def pause(self) -> str:
        """Stop it in its tracks and return, in words, what stands still."""
        self._living("paused").send_signal(signal.SIGSTOP)
        process = psutil.Process(self._living("paused").pid)
        deadline = time.monotonic() + KILLED
        while process.status() != psutil.STATUS_STOPPED:
            if time.monotonic() > deadline:
                raise Unhealthy(f"node {self.name} does not stop")
            await asyncio.sleep(POLL)
        return f"{self.name} (process {process.pid}) stopped"

    def resume(self) -> None:
        """Let it go on; nothing if it does not stand still."""
        if self._process is not None and self.running:
            self._process.send_signal(signal.SIGCONT)

    async def drain(self, within: float) -> str:
        """End it with SIGTERM, which drains it first; return, in words, how it ended.

        Raises Unhealthy if it is not running, or has not ended after *within* seconds.
        """
        process = self._living("drained")
        self._leaving = True
        began = time.monotonic()
        process.terminate()
        await self._end(within)
        seconds = time.monotonic() - began
        return f"{self.name} drained in {seconds:.1f} s and ended with exit code {process.returncode}"

    def _living(self, done: str) -> subprocess.Popen[bytes]:
        if self._process is None or not self.running:
            raise Unhealthy(f"node {self.name} cannot be {done}: it is not running")
        return self._process

    async def _end(self, within: float) -> None:
        deadline = time.monotonic() + within
        while self.running:
            if time.monotonic() > deadline:
                raise Unhealthy(f"node {self.name} did not end within {within:g} s")
            await asyncio.sleep(POLL)
