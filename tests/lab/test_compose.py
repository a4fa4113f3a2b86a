"""What can be missing for the cluster of containers, each with its own remedy; and nothing of a dead run stays."""

from __future__ import annotations

import asyncio
import gc
import socket
import stat
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import _containers
from lab._containers import connect
from lab.clusters import _compose_command
from lab.clusters.compose import ComposeCluster
from lab.errors import EngineAway, EnvironmentProblem, PortTaken
from lab.standing import take_down
from lab.state import MARKER, RunFolder, survey, sweep
from tests.conformance.clusters import take_standin_images

NOWHERE = "unix:///nonexistent/docker.sock"


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No engine answers. The SDK forgets its socket where its very constructor fails: that warning is not ours."""
    monkeypatch.setenv("DOCKER_HOST", NOWHERE)
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def program(folder: Path, name: str, script: str) -> None:
    """Put a program into a folder that is going to be all of PATH."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is all of PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


async def test_without_docker_it_says_what_to_install(path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"neither 'docker' nor 'docker-compose' on PATH; install Docker"):
        await _compose_command.find_compose()


async def test_a_docker_client_without_compose_is_told_apart(path: Path) -> None:
    program(path, "docker", "echo \"docker: 'compose' is not a docker command.\"; exit 1")
    with pytest.raises(EnvironmentProblem, match=r"no compose plugin .*; install the package docker-compose"):
        await _compose_command.find_compose()


async def test_the_plugin_is_taken_before_the_old_program(path: Path) -> None:
    program(path, "docker-compose", "echo 1.29.2")
    assert await _compose_command.find_compose() == (("docker-compose",), "1.29.2")
    program(path, "docker", "echo 2.40.3")
    assert await _compose_command.find_compose() == (("docker", "compose"), "2.40.3")


@pytest.mark.usefixtures("no_engine")
def test_an_engine_that_does_not_answer_is_to_be_started() -> None:
    with pytest.raises(EngineAway, match="no Docker engine answers; start dockerd"):
        connect()


def test_a_host_that_is_none_is_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense://there")
    with pytest.raises(EngineAway, match="DOCKER_HOST leads nowhere"):
        connect()


def test_a_user_who_may_not_use_the_engine_is_told_the_group() -> None:
    refused = PermissionError(13, "Permission denied", "/var/run/docker.sock")
    assert "add it to the group docker" in str(_containers._no_engine(refused))


# What Compose 1.29.2 and 2.40.3 were seen to say.
IMAGES = (
    "pull access denied for nothing, repository does not exist or may require 'docker login'",
    'Get "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host',
    "Error response from daemon: manifest for x:y not found: manifest unknown: manifest unknown",
    'Error: failed to resolve reference "docker.io/library/x:y"',
)
PORTS = (
    "ERROR: for n1  Cannot start service n1: userland proxy: listen 127.0.0.1:26257: bind: address already in use",
    "Error response from daemon: Bind for 127.0.0.1:26257 failed: port is already allocated",
    "ports are not available: exposing port TCP 127.0.0.1:26257 -> 127.0.0.1:0",
)


@pytest.mark.parametrize("said", IMAGES)
def test_an_image_that_cannot_be_had_is_told_with_the_variables_that_name_others(said: str) -> None:
    problem = _compose_command.complaint(f"Pulling n1 ...\n{said}\n")
    assert str(problem).startswith("an image cannot be had: ")
    assert "COCKROACH_IMAGE and TOXIPROXY_IMAGE" in problem.remedy


@pytest.mark.parametrize("said", PORTS)
def test_a_port_that_is_taken_is_told_as_such(said: str) -> None:
    problem = _compose_command.complaint(said)
    assert isinstance(problem, PortTaken)
    assert "26257" in problem.problem


def test_other_words_of_compose_are_passed_on_in_one_line() -> None:
    problem = _compose_command.complaint("services.n1 Additional property is not allowed\nERROR: it is invalid\n")
    assert str(problem) == "docker compose failed: ERROR: it is invalid; run lab doctor"


def test_what_compose_needs_is_in_the_checkout_and_in_the_package() -> None:
    assert _compose_command.package_file("docker-compose.yml").is_file()
    assert _compose_command.package_file("toxiproxy.json").is_file()


@pytest.mark.usefixtures("no_engine")
def test_a_dead_run_with_containers_waits_for_an_engine_and_hinders_nobody(root: Path) -> None:
    run = RunFolder.create("run", root)
    (run.path / _containers.PROJECT).write_text(run.id)
    run.let_go()

    assert sweep(root) == []
    assert [info.state for info in survey(root)] == ["dead"]


@pytest.fixture
def engine() -> None:
    """Skip the test if no Docker engine answers."""
    try:
        connect().close()
    except EngineAway as problem:
        pytest.skip(str(problem))


@pytest.mark.cluster
@pytest.mark.usefixtures("engine")
async def test_an_image_of_a_registry_that_is_not_there_ends_the_start_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COCKROACH_IMAGE", "127.0.0.1:1/none:none")
    monkeypatch.setenv("TOXIPROXY_IMAGE", "127.0.0.1:1/none:none")
    run = RunFolder.create("test", root)
    cluster = ComposeCluster(run)
    try:
        with pytest.raises(EnvironmentProblem, match="an image cannot be had"):
            await cluster.start(60.0)
    finally:
        await cluster.stop(10.0)
        await asyncio.to_thread(run.remove, 10.0)


@pytest.mark.cluster
@pytest.mark.usefixtures("engine")
async def test_ports_that_are_taken_end_the_start_in_one_line_and_leave_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_standin_images()
    run = RunFolder.create("test", root)
    cluster = ComposeCluster(run)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr("lab.clusters.compose.free_port", lambda: taken.getsockname()[1])
        try:
            with pytest.raises(EnvironmentProblem, match="a port is taken"):
                await cluster.start(120.0)
            client = connect()
            assert client.containers.list(all=True, filters={"label": f"{_containers.LABEL}={run.id}"}) == []
            client.close()
        finally:
            await cluster.stop(10.0)
            await asyncio.to_thread(run.remove, 10.0)


@pytest.mark.cluster
@pytest.mark.usefixtures("engine")
async def test_whatever_a_dead_run_has_left_is_removed_by_the_next_one(root: Path) -> None:
    take_standin_images()
    run = RunFolder.create("test", root)
    cluster = ComposeCluster(run)
    await cluster.start(120.0)
    await cluster.leave_running()
    run.let_go()  # as the kernel does for a run that is killed; its gateways end with it
    await cluster._gateways.stop(10.0)

    assert [info.id for info in await asyncio.to_thread(sweep, root)] == [run.id]

    client = connect()
    mine = {"label": f"{_containers.LABEL}={run.id}"}
    left = [*client.containers.list(all=True, filters=mine), *client.networks.list(filters=mine)]
    assert [*left, *client.volumes.list(filters=mine)] == []
    client.close()


async def test_what_a_command_has_started_does_not_outlive_it(path: Path, tmp_path: Path) -> None:
    program(path, "docker", f"(/bin/sleep 1; echo late > {tmp_path}/late) & wait")
    code, said = await _compose_command.run(["docker", "compose", "up"], {}, 0.2)
    assert (code, said) == (124, "no end within 0.2 s")
    await asyncio.sleep(1.2)
    assert not (tmp_path / "late").exists()


async def test_compose_carries_the_mark_by_which_the_processes_of_a_killed_run_are_found(root: Path) -> None:
    run = RunFolder.create("test", root)
    try:
        assert ComposeCluster(run)._environment()[MARKER] == str(run.path)
    finally:
        await asyncio.to_thread(run.remove, 5.0)


@pytest.mark.usefixtures("no_engine")
def test_one_run_that_cannot_be_removed_does_not_keep_the_others(root: Path) -> None:
    first, second = RunFolder.create("first", root), RunFolder.create("second", root)
    (first.path / _containers.PROJECT).write_text(first.id, encoding="ascii")
    first.let_go()
    second.let_go()
    with pytest.raises(EngineAway):
        take_down([])
    assert [info.id for info in survey(root)] == [first.id]
