"""docker-compose.yml, unmodified, with a stand-in for CockroachDB: start order, links, ports and clean-up are right.

The nodes are PostgreSQL (tests/compose/images.py), so this proves the wiring and nothing about CockroachDB. Skipped
where Docker, a Compose or the images cannot be had. $DOCKER_COMPOSE_V2 names a stand-alone Compose v2, for machines
where `docker compose` is none.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import secrets
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker.errors
import psycopg
import pytest

from faults.client import ControlClient
from faults.topology import links_between
from lab.clusters.cockroach import start_arguments
from lab.clusters.postgres import free_port
from lab.db.target import Address
from lab.errors import EnvironmentProblem
from tests.compose.images import build, engine

ROOT = Path(__file__).parents[2]
PROXIES = ROOT / "lab" / "clusters" / "_compose" / "toxiproxy.json"
NODES = ("n1", "n2", "n3")
PORTS = (
    "TOXIPROXY_PORT",
    *(f"{node.upper()}_{kind}" for node in NODES for kind in ("PORT", "DIRECT_PORT", "CONSOLE_PORT")),
)

UP, HEALTHY, DOWN, ANSWER = 120.0, 60.0, 60.0, 5.0
"""Seconds for `up` and `down`, for a node to become what it should be, and for one answer."""


@dataclass
class Project:
    """docker-compose.yml under a name of its own, at free ports."""

    command: list[str]
    client: Any
    environment: dict[str, str]
    ports: dict[str, int]
    name: str = field(default_factory=lambda: f"wiring-{secrets.token_hex(4)}")

    @property
    def label(self) -> dict[str, str]:
        return {"label": f"com.docker.compose.project={self.name}"}

    def compose(self, *arguments: str, within: float) -> None:
        done = subprocess.run(
            [*self.command, "-p", self.name, "-f", "docker-compose.yml", *arguments],
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def containers(self) -> dict[str, Any]:
        found = self.client.containers.list(all=True, filters=self.label)
        return {container.labels["com.docker.compose.service"]: container for container in found}

    def last_words(self) -> str:
        return "\n".join(
            f"{service}: {container.status}, {container.logs(tail=3).decode(errors='replace')}"
            for service, container in self.containers().items()
        )

    def sql(self, port: str, statement: str) -> list[tuple[Any, ...]]:
        """Return the rows that a statement gives at the port that a variable names, over a new connection."""
        with (
            psycopg.connect(
                host="127.0.0.1",
                port=self.ports[port],
                user="root",
                dbname="lab",
                sslmode="disable",
                connect_timeout=int(ANSWER),
                autocommit=True,
            ) as connection,
            connection.cursor() as cursor,
        ):
            cursor.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def ready(self, node: str) -> bool:
        port = self.ports[f"{node.upper()}_CONSOLE_PORT"]
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER)) as connection:
            try:
                connection.request("GET", "/health?ready=1")
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def link(self, name: str, *, open_: bool) -> None:
        async def switch() -> None:
            async with ControlClient(self.control) as control:
                await (control.enable(name) if open_ else control.disable(name))

        asyncio.run(switch())

    @property
    def control(self) -> str:
        return f"http://127.0.0.1:{self.ports['TOXIPROXY_PORT']}"


@contextlib.contextmanager
def recorded(project: Project) -> Iterator[list[dict[str, Any]]]:
    """Collect what the engine reports of the project's containers: it remembers little of it for those who ask late."""
    events: list[dict[str, Any]] = []
    kinds = ["start", "die", "health_status"]
    stream = project.client.events(decode=True, filters={**project.label, "type": "container", "event": kinds})

    def collect() -> None:
        with contextlib.suppress(docker.errors.DockerException, OSError, ValueError):
            events.extend(stream)

    thread = threading.Thread(target=collect, daemon=True)
    thread.start()
    try:
        yield events
    finally:
        stream.close()
        thread.join(ANSWER)


def until(what: Callable[[Project], bool], project: Project) -> None:
    deadline = time.monotonic() + HEALTHY
    while not what(project):
        if time.monotonic() > deadline:
            pytest.fail(f"{what.__name__}: not so within {HEALTHY:g} s\n{project.last_words()}")
        time.sleep(0.1)


def compose_command(kind: str) -> list[str]:
    """Return the command of a kind of Compose, or skip."""
    if kind == "docker-compose":
        if shutil.which(kind) is None:
            pytest.skip("no docker-compose on PATH")
        return [kind]
    alone = os.environ.get("DOCKER_COMPOSE_V2")
    command = [alone] if alone else ["docker", "compose"]
    try:
        subprocess.run([*command, "version"], check=True, capture_output=True, timeout=ANSWER)
    except (OSError, subprocess.SubprocessError):
        pytest.skip(f"'{' '.join(command)}' is no Compose v2; $DOCKER_COMPOSE_V2 can name a stand-alone one")
    return command


@pytest.fixture(params=["docker-compose", "docker compose"])
def project(request: pytest.FixtureRequest) -> Iterator[Project]:
    command = compose_command(request.param)
    try:
        images = build()
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))
    ports: dict[str, int] = {}
    while len(set(ports.values())) < len(PORTS):
        ports = {name: free_port() for name in PORTS}
    chosen = {name: str(port) for name, port in ports.items()}
    with engine() as client:
        project = Project(command, client, {**os.environ, **images, **chosen}, ports)
        try:
            yield project
        finally:
            project.compose("down", "-v", within=DOWN)


# One test, not many: a project takes seconds to start, and tests that run side by side would each start their own.
@pytest.mark.slow
@pytest.mark.timeout(900)  # with the time to compile the images
def test_the_compose_file_is_wired_as_it_says(project: Project) -> None:
    with recorded(project) as events:
        project.compose("up", "-d", within=UP)
        until(all_healthy, project)
    started_in_order_of_health(events)
    published_on_loopback_only(project)
    asyncio.run(toxiproxy_is_populated(project))
    nodes_dial_each_other_through_the_links(project)
    a_row_written_through_one_node_is_read_through_all(project)
    a_cut_link_cuts_one_node(project)
    data_survive_drain_and_kill(project)
    nothing_is_left_after_down(project)


def all_healthy(project: Project) -> bool:
    states = {service: container.attrs["State"] for service, container in project.containers().items()}
    running = [states.get(service, {}).get("Health", {}).get("Status") for service in ("toxiproxy", *NODES)]
    return running == ["healthy"] * 4 and states["init"]["Status"] == "exited"


def all_ready(project: Project) -> bool:
    return all(project.ready(node) for node in NODES)


def started_in_order_of_health(events: list[dict[str, Any]]) -> None:
    at: dict[tuple[str, str], int] = {}
    for event in events:
        attributes = event["Actor"]["Attributes"]
        at.setdefault((attributes["com.docker.compose.service"], event["Action"]), event["timeNano"])
        if event["Action"] == "die":
            assert (attributes["com.docker.compose.service"], attributes["exitCode"]) == ("init", "0")
    for node in NODES:
        assert at["toxiproxy", "health_status: healthy"] < at[node, "start"]
        assert at[node, "start"] < at["init", "start"] < at[node, "health_status: healthy"]


def published_on_loopback_only(project: Project) -> None:
    published = [
        (binding["HostIp"], int(binding["HostPort"]))
        for container in project.containers().values()
        for bindings in container.attrs["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    ]
    assert sorted(published) == sorted(("127.0.0.1", port) for port in project.ports.values())


async def toxiproxy_is_populated(project: Project) -> None:
    wanted = {proxy["name"]: proxy["upstream"] for proxy in json.loads(PROXIES.read_text(encoding="utf-8"))}
    async with ControlClient(project.control) as control:
        held = await control.proxies()
    assert {name: proxy.upstream for name, proxy in held.items()} == wanted
    assert len(held) == 9
    assert all(proxy.enabled for proxy in held.values())


def a_row_written_through_one_node_is_read_through_all(project: Project) -> None:
    project.sql("N1_PORT", "CREATE TABLE words (word TEXT)")
    project.sql("N1_PORT", "INSERT INTO words VALUES ('written')")
    for node in NODES:
        for port in (f"{node.upper()}_PORT", f"{node.upper()}_DIRECT_PORT"):
            assert project.sql(port, "SELECT word FROM words") == [("written",)], port
    # Whoever reports on such a cluster must not call it CockroachDB.
    assert project.sql("N3_PORT", "SELECT version()")[0][0].startswith("PostgreSQL ")


def a_cut_link_cuts_one_node(project: Project) -> None:
    for cut, other in (("n2", "n3"), ("n3", "n2")):
        project.link(f"{cut}-to-n1", open_=False)
        for port in (f"{cut.upper()}_PORT", f"{cut.upper()}_DIRECT_PORT"):
            with pytest.raises(psycopg.OperationalError):
                project.sql(port, "SELECT 1")
        assert {node for node in NODES if project.ready(node)} == {"n1", other}
        assert project.sql(f"{other.upper()}_PORT", "SELECT 1") == project.sql("N1_PORT", "SELECT 1") == [(1,)]
        project.link(f"{cut}-to-n1", open_=True)
        assert project.ready(cut)
        assert project.sql(f"{cut.upper()}_PORT", "SELECT 1") == [(1,)]


def nodes_dial_each_other_through_the_links(project: Project) -> None:
    # A stand-in uses only some of its flags; so they are compared to those that cluster `local` gives to a node.
    proxies = json.loads(PROXIES.read_text(encoding="utf-8"))
    listens = {proxy["name"]: Address("toxiproxy", int(proxy["listen"].rpartition(":")[2])) for proxy in proxies}
    links = {link: listens[str(link)] for link in links_between(NODES)}
    addresses = {node: Address(node, 26257) for node in NODES}
    for node in NODES:
        local = start_arguments(node, addresses, Address("", 8080), Path("/cockroach/cockroach-data"), links)
        wanted = {flag for flag in local if flag.startswith(("--advertise", "--locality", "--join"))}
        assert wanted <= set(project.containers()[node].attrs["Config"]["Cmd"])


def data_survive_drain_and_kill(project: Project) -> None:
    node = project.containers()["n1"]
    for end, code in ((node.stop, 0), (node.kill, 137)):
        end()
        assert node.wait(timeout=HEALTHY)["StatusCode"] == code
        assert [project.ready(name) for name in NODES] == [False] * 3
        node.start()
        until(all_ready, project)
        assert project.sql("N3_PORT", "SELECT word FROM words") == [("written",)]


def nothing_is_left_after_down(project: Project) -> None:
    project.compose("down", "-v", within=DOWN)
    client, label = project.client, project.label
    assert client.containers.list(all=True, filters=label) == []
    assert client.networks.list(filters=label) == []
    assert client.volumes.list(filters=label) == []
