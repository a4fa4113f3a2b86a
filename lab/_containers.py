"""Containers, networks and volumes of a run: found by Compose's own label, and removed."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from typing import Any, Final

from lab.errors import EngineAway, EnvironmentProblem

PROJECT: Final = "compose-project"
"""File in a run folder that names its Compose project; written before anything of it exists."""

LABEL: Final = "com.docker.compose.project"

TIMEOUT: Final = 120
"""Seconds that one call of the engine may take: draining a node is one."""


def connect() -> Any:
    """Return a client of the Docker engine that answers; raise EngineAway with the remedy if none does."""
    import docker  # every command of the lab would wait for it, and few need it
    import docker.errors
    import requests

    problem: EngineAway | None = None
    try:
        client = docker.from_env(timeout=TIMEOUT)
        client.ping()
    except (docker.errors.DockerException, requests.RequestException, OSError, ValueError) as error:
        problem = _no_engine(error)
    if problem is not None:
        _forget_sockets()
        raise problem
    return client


def _forget_sockets() -> None:
    # Where the SDK's very constructor fails it leaves its socket to the collector, which warns of it at any later time.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def _no_engine(error: BaseException) -> EngineAway:
    said = str(error)
    if "Permission" in said or "EACCES" in said:
        return EngineAway(
            "this user may not talk to the Docker engine", "add it to the group docker and log in anew, or use sudo"
        )
    if "DOCKER_HOST" in said or "Invalid bind" in said or "scheme" in said:
        return EngineAway(f"DOCKER_HOST leads nowhere ({said})", "correct it, or unset it")
    return EngineAway("no Docker engine answers", "start dockerd or Docker Desktop, or set DOCKER_HOST")


def remove_project(project: str, *, volumes: bool) -> int:
    """Remove the containers and networks of a project, and its *volumes*; return how many things that were.

    Raises EngineAway if no engine answers, EnvironmentProblem if it cannot remove something.
    """
    import docker.errors

    client = connect()
    try:
        found = _things(client, project, volumes=volumes)
        for thing in found:
            _remove(thing)
        return len(found)
    except (docker.errors.DockerException, OSError) as error:
        raise EnvironmentProblem(f"cannot remove what is left of {project}: {error}", "run lab down again") from error
    finally:
        client.close()


def _things(client: Any, project: str, *, volumes: bool) -> list[Any]:
    mine = {"label": f"{LABEL}={project}"}
    found = [*client.containers.list(all=True, filters=mine, ignore_removed=True)]
    found += client.networks.list(filters=mine)
    return [*found, *(client.volumes.list(filters=mine) if volumes else ())]


def _remove(thing: Any) -> None:
    import docker.errors

    try:
        if thing.collection.__class__.__name__ == "ContainerCollection":
            thing.remove(force=True, v=True)
        else:
            thing.remove()
    except docker.errors.NotFound:
        pass  # somebody else was faster


def project_of(folder: Path) -> str | None:
    """Return the Compose project of a run folder, None if it has none."""
    record = folder / PROJECT
    return record.read_text(encoding="ascii").strip() if record.exists() else None
