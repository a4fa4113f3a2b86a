"""The fault proxy as a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from lab.errors import EnvironmentProblem

POLL = 0.005
"""Seconds between two looks at what the process says."""


class ProxyProcess:
    """One ``python -m faults`` on a free loopback port; its log is *log*.

    *detached*: it goes on when its owner ends; otherwise it ends with it, even if the owner is killed.
    """

    def __init__(self, log: Path, environment: Mapping[str, str], *, seed: int, detached: bool = False) -> None:
        self.url = ""
        self._log = log
        self._environment = environment
        self._seed = seed
        self._detached = detached
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id, None before `start`."""
        return self._process.pid if self._process else None

    def trouble(self) -> str:
        """Say that it ended though nobody asked it to; empty while it lives or was never started."""
        code = self._process.poll() if self._process else None
        if code is None:
            return ""
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"the fault proxy ended, and nobody asked it to ({how})"

    async def start(self, within: float) -> None:
        """Start it; once its API answers, `url` is set. Raise EnvironmentProblem after *within* seconds."""
        command = [sys.executable, "-m", "faults", "--port", "0", "--seed", str(self._seed)]
        command += [] if self._detached else ["--until-stdin-closes"]
        with self._log.open("wb") as log:
            # Not asyncio's: its transport would kill a detached process with its event loop.
            self._process = subprocess.Popen(  # noqa: ASYNC220 - a fork takes a millisecond
                command,
                stdin=subprocess.DEVNULL if self._detached else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=self._environment,
                start_new_session=True,  # Ctrl-C is for the runner, which ends things in their order
            )
        self.url = (await _first_line(self._process, within)).rpartition(" ")[2]
        if not self.url:
            said = self._log.read_text(errors="replace").strip().rpartition("\n")[2]
            await self.stop(within)
            raise EnvironmentProblem(f"the fault proxy did not start: {said or 'it said nothing'}", "run lab doctor")

    async def stop(self, within: float) -> None:
        """End it, by force after *within* seconds; nothing if it never ran."""
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        process.terminate()
        process.send_signal(signal.SIGCONT)  # paused, it could not obey
        try:
            await asyncio.to_thread(process.wait, within)
        except subprocess.TimeoutExpired:
            process.kill()
            await asyncio.to_thread(process.wait, within)


async def _first_line(process: subprocess.Popen[bytes], within: float) -> str:
    """Return the first line of what *process* says; empty if it ends or stays silent for *within* seconds."""
    assert process.stdout is not None  # noqa: S101 - it was asked for
    said = b""
    with process.stdout as stdout, contextlib.suppress(TimeoutError):
        os.set_blocking(stdout.fileno(), False)
        async with asyncio.timeout(within):
            while not said.endswith(b"\n"):
                read = stdout.read()
                if read == b"":
                    return ""
                said += read or b""
                await asyncio.sleep(POLL)
    return said.decode().strip()
