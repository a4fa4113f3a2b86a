"""Docker Compose as a command: found, asked, and its complaints turned into remedies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final, NamedTuple

from lab.errors import EnvironmentProblem, PortTaken

ANSWER: Final = 10.0
"""Seconds in which a program tells its version."""

PULL: Final = 900.0
"""Seconds that fetching the images may take, once."""

FILE: Final = "docker-compose.yml"
VARIABLES: Final = "COCKROACH_IMAGE and TOXIPROXY_IMAGE"
_IMAGE_TROUBLE = re.compile(
    r"pull access denied|manifest unknown|not found: manifest|no such image|failed to resolve|dial tcp|lookup |"
    r"TLS handshake|connection refused|EOF|denied:|no matching manifest|i/o timeout|unauthorized",
    re.IGNORECASE,
)
_PORT_TROUBLE = re.compile(r"port is already allocated|address already in use|ports are not available", re.IGNORECASE)


def package_file(name: str) -> Path:
    """Return a file that Compose needs: from the checkout's top, or from the installed package."""
    top = Path(__file__).parents[2] / name
    if name == FILE and top.is_file():
        return top
    return Path(str(resources.files("lab.clusters") / "_compose" / name))


class Compose(NamedTuple):
    """The words that call Compose, and its version."""

    command: tuple[str, ...]
    version: str


async def find_compose() -> Compose:
    """Return docker's plugin, or docker-compose; raise EnvironmentProblem if neither is there."""
    for command in (("docker", "compose"), ("docker-compose",)):
        if shutil.which(command[0]):
            code, said = await run([*command, "version", "--short"], {}, ANSWER)
            if code == 0 and said:
                return Compose(command, said.splitlines()[-1])
    if shutil.which("docker") is None:
        raise EnvironmentProblem("there is neither 'docker' nor 'docker-compose' on PATH", "install Docker")
    raise EnvironmentProblem(
        "the docker client has no compose plugin and there is no 'docker-compose'",
        "install the package docker-compose-plugin or docker-compose",
    )


async def run(command: Sequence[str], environment: Mapping[str, str], within: float) -> tuple[int, str]:
    """Run *command* and return its exit code and all that it said; it is killed after *within* seconds (code 124)."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=dict(environment) or None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(within):
            output, _ = await process.communicate()
    except TimeoutError:
        return 124, f"no end within {within:g} s"
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # docker's plugin is a process of its own, and would go on
            await process.wait()
    return process.returncode or 0, output.decode(errors="replace").strip()


def complaint(said: str) -> EnvironmentProblem:
    """Return what Compose's words mean, with the remedy."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if re.search(r"error|denied|cannot|failed", line, re.I)), "")
    last = last or (lines[-1] if lines else "it said nothing")
    if _PORT_TROUBLE.search(said):
        return PortTaken(f"a port is taken: {last}", "end what uses it, or run again: other ports are drawn")
    if _IMAGE_TROUBLE.search(said):
        return EnvironmentProblem(
            f"an image cannot be had: {last}", f"pull it where there is a network, or name others with {VARIABLES}"
        )
    return EnvironmentProblem(f"docker compose failed: {last}", "run lab doctor")
