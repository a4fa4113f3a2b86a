"""Can this machine run the lab? Each answer comes with its remedy."""

from __future__ import annotations

import asyncio
import shutil
import sys
import time
from collections.abc import Awaitable, Callable, Iterable

import msgspec

from faults.errors import FaultError
from lab import _containers
from lab.cleanup import STOP, to_its_end
from lab.clusters import _compose_command
from lab.clusters.embedded import EmbeddedCluster
from lab.clusters.postgres import find_binaries
from lab.errors import LabError
from lab.state import RunFolder, state_root, survey

QUICK = 5.0
"""Seconds that a program has to answer."""


class Diagnosis(msgspec.Struct, frozen=True):
    """One thing that was looked at: whether it is *good*, whether the lab *needs* it at all, and what was seen."""

    name: str
    good: bool
    needed: bool
    seen: str


async def diagnose() -> list[Diagnosis]:
    """Look at everything that the lab uses; really starts the embedded cluster, and ends it."""
    probes: list[tuple[str, bool, Callable[[], Awaitable[str]]]] = [
        ("Python", True, _python),
        ("PostgreSQL", True, _postgres),
        ("state folder", True, _state),
        ("embedded cluster", True, _embedded),
        ("earlier runs", False, _earlier_runs),
        ("Docker engine", False, _docker),
        ("Docker Compose", False, _compose),
        ("cockroach binary", False, _binary("cockroach", "only the cluster 'local' wants it, or a path with --binary")),
        ("toxiproxy-server", False, _binary("toxiproxy-server", "not needed: the lab has its own proxy")),
    ]
    return [await _ask(name, probe, needed=needed) for name, needed, probe in probes]


async def _ask(name: str, probe: Callable[[], Awaitable[str]], *, needed: bool) -> Diagnosis:
    try:
        return Diagnosis(name, good=True, needed=needed, seen=await probe())
    except (LabError, FaultError, OSError, _Absent) as problem:
        return Diagnosis(name, good=False, needed=needed, seen=str(problem))


class _Absent(Exception):
    """Something is not there; the message says what to do about it."""


async def _python() -> str:
    return sys.version.split()[0]


async def _postgres() -> str:
    found = find_binaries()
    return f"{'.'.join(map(str, found.version))} from the {found.origin}: {found.bin_dir}"


async def _state() -> str:
    run = RunFolder.create("doctor")
    run.remove(QUICK)
    return str(state_root())


async def _embedded() -> str:
    run = RunFolder.create("doctor")
    try:
        began = time.perf_counter()
        cluster = EmbeddedCluster(run)
        try:
            await cluster.start(cluster.starts_within)
            await cluster.healthy(cluster.heals_within)
            return f"answers after {time.perf_counter() - began:.2f} s: {cluster.about}"
        finally:
            await to_its_end(cluster.stop(STOP))
    finally:
        run.remove(STOP)


async def _earlier_runs() -> str:
    runs = survey()
    dead = [run.id for run in runs if run.state == "dead"]
    if dead:
        raise _Absent(f"left by killed runs: {', '.join(dead)}; run lab down")
    return f"{len(runs)} running, none dead" if runs else "none"


async def _docker() -> str:
    client = await asyncio.to_thread(_containers.connect)
    try:
        return f"engine {client.version()['Version']}"
    finally:
        client.close()


async def _compose() -> str:
    found = await _compose_command.find_compose()
    return f"{' '.join(found.command)} {found.version}"


def _binary(name: str, otherwise: str) -> Callable[[], Awaitable[str]]:
    async def probe() -> str:
        path = shutil.which(name)
        if path is None:
            raise _Absent(f"not on PATH; {otherwise}")
        return path

    return probe


def able(diagnoses: Iterable[Diagnosis]) -> bool:
    """Whether everything that the lab needs is good."""
    return all(diagnosis.good for diagnosis in diagnoses if diagnosis.needed)
