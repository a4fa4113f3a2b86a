"""A real Toxiproxy on the way from our gateways to the nodes: the user's own, or a process of the run.

In the user's own the lab makes proxies called lab-RUN-NODE, and touches no other.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import time
import urllib.parse
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from faults.client import ControlClient, ProxyInfo
from faults.errors import BadRequest, ControlUnreachable, FaultError
from faults.toxiproxy import control_url
from lab.clusters._ports import free_port
from lab.db.target import Address
from lab.errors import EnvironmentProblem, Unhealthy, UsageError
from lab.state import survey

POLL: Final = 0.02
"""Seconds between two looks whether the process answers."""

_OURS: Final = re.compile(r"lab-(?P<run>[a-z][a-z0-9]*-\d{8}-\d{6}-[0-9a-f]{8})-")


class ToxiproxyHop:
    """*toxiproxy* is a control URL, host:port, an object of toxiproxy-python, or a program such as toxiproxy-server.

    *run* is the folder of the run, whose *environment* a program gets; *detached*: it goes on when its owner ends.
    """

    def __init__(self, toxiproxy: object, run: Path, environment: Mapping[str, str]) -> None:
        """Raise UsageError if *toxiproxy* is neither a Toxiproxy nor a program."""
        self._run = run
        self._environment = environment
        self._program = shutil.which(toxiproxy) if isinstance(toxiproxy, str) else None
        self._process: subprocess.Popen[bytes] | None = None
        self._names: list[str] = []
        try:
            self._url = "" if self._program else control_url(toxiproxy)
        except BadRequest as error:
            raise UsageError(f"--toxiproxy: {error}; or name a program that is on PATH") from error
        self.control: ControlClient | None = None

    async def start(self, within: float) -> None:
        """Start the program, or find the Toxiproxy that is there; remove what dead runs have left in it.

        Raises EnvironmentProblem if nothing answers within *within* seconds.
        """
        if self._program is not None and self._process is None:
            self._launch(self._program)
        self.control = self.control or ControlClient(self._url)
        deadline = time.monotonic() + within
        while True:
            try:
                found = await self.control.proxies()
                break
            except ControlUnreachable as error:
                ended = self._process is not None and self._process.poll() is not None
                if self._process is None or ended or time.monotonic() > deadline:
                    raise EnvironmentProblem(f"no Toxiproxy answers: {error}", "start it, or name another") from error
            except FaultError as error:
                raise EnvironmentProblem(f"what answers at {self._url} is no Toxiproxy", "name another") from error
            await asyncio.sleep(POLL)
        await self._sweep(found)

    def _launch(self, program: str) -> None:
        port = free_port()
        self._url = f"http://127.0.0.1:{port}"
        with (self._run / "toxiproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                [program, "-host", "127.0.0.1", "-port", str(port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self._environment),
                start_new_session=True,
            )

    async def _sweep(self, found: Mapping[str, ProxyInfo]) -> None:
        alive = {info.id for info in survey(self._run.parent) if info.state != "dead"}
        for name in found:
            ours = _OURS.match(name)
            if ours is not None and ours["run"] not in alive:
                await self._known().delete(name)

    async def lead(self, node: str, upstream: str) -> Address:
        """Make a proxy to *upstream* and return where it listens."""
        host = urllib.parse.urlsplit(self._url).hostname or "127.0.0.1"
        name = f"lab-{self._run.name}-{node}"
        proxy = await self._known().create(name, f"[{host}]:0" if ":" in host else f"{host}:0", upstream)
        self._names.append(name)
        return Address(host, int(proxy.listen.rpartition(":")[2]))

    async def heal(self) -> None:
        """Let the lab's proxies work, without toxics; others are not touched."""
        control = self._known()
        try:
            for name in self._names:
                proxy = await control.enable(name)
                for toxic in proxy.toxics:
                    await control.remove(name, toxic.name)
        except FaultError as error:
            raise Unhealthy(f"Toxiproxy cannot be healed: {error}") from error

    async def stop(self, within: float) -> None:
        """Remove the lab's proxies and end the program, by force after *within* seconds."""
        control, self.control = self.control, None
        names, self._names = self._names, []
        if control is not None:
            for name in names if self._process is None else ():
                try:
                    await control.delete(name)
                except FaultError:
                    break  # it is gone, or goes by itself; the next run removes what is left
            await control.close()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                await asyncio.to_thread(process.wait, within)
            except subprocess.TimeoutExpired:
                process.kill()
                await asyncio.to_thread(process.wait, within)

    async def leave_running(self) -> None:
        """Let go of it without ending anything."""
        if self.control is not None:
            await self.control.close()

    def _known(self) -> ControlClient:
        if self.control is None:
            raise Unhealthy("Toxiproxy was not started")
        return self.control
