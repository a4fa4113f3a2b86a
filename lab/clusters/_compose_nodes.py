"""The containers of a Compose project: hurt, healed and looked at through the Docker SDK."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

import docker.errors

from lab._containers import LABEL
from lab.cleanup import to_its_end
from lab.errors import Unhealthy

T = TypeVar("T")

SERVICE: Final = "com.docker.compose.service"
NETWORK: Final = "com.docker.compose.network"
CLUSTER_NETWORK: Final = "cluster"
"""The network of nodes and Toxiproxy, from which a node can be taken off."""

POLL: Final = 0.1
"""Seconds between two looks at a container."""

READY: Final = 90.0
"""Seconds in which a container is healthy."""

DRAIN: Final = 60
"""Seconds that a node has to drain before Docker kills it."""

KILLED: Final = 128 + 9
"""Exit code of what was killed."""

MOST_LINES: Final = 20_000
"""Lines of a container's log that are kept when something failed."""

LAST_WORDS: Final = 3
"""Lines of a container's log that a message quotes."""


class ComposeNodes:
    """The services *nodes* (and their company) of *project*. Every method raises Unhealthy if Docker refuses."""

    def __init__(self, client: Any, project: str, nodes: Sequence[str]) -> None:
        self._client = client
        self._project = project
        self._nodes = nodes
        self._meant_down: set[str] = set()

    async def healthy(self, services: Iterable[str], within: float = READY) -> None:
        """Return once all *services* are healthy; Unhealthy, with last words, for one that ends or takes too long."""
        deadline = time.monotonic() + within
        for service in services:
            while not await self._call(self._is_healthy, service):
                if time.monotonic() > deadline:
                    words = await self._call(self._last_words, service)
                    raise Unhealthy(f"{service} was not healthy within {within:g} s: {words}")
                await asyncio.sleep(POLL)

    async def kill(self, node: str) -> str:
        """Kill the container and return, in words, what was killed."""

        def kill() -> str:
            container = self._living(node, "killed")
            self._meant_down.add(node)
            container.kill()
            container.wait(timeout=10)
            return f"{node} (container {container.short_id}) killed"

        return await self._call(kill)

    def forget_faults(self) -> None:
        """Take it that no node was meant to be down."""
        self._meant_down.clear()

    async def pause(self, node: str) -> str:
        """Freeze the container."""

        def pause() -> str:
            container = self._container(node)
            if container.status != "paused":
                container.pause()
            return f"{node} (container {container.short_id}) frozen"

        return await self._call(pause)

    async def resume(self, node: str) -> None:
        """Let it go on; nothing if it is not frozen."""

        def resume() -> None:
            container = self._container(node)
            if container.status == "paused":
                container.unpause()

        await self._call(resume)

    async def drain(self, node: str) -> str:
        """Stop the container with SIGTERM and return, in words, how it ended; Unhealthy if Docker had to kill it."""

        def drain() -> str:
            container = self._living(node, "drained")
            self._meant_down.add(node)
            began = time.monotonic()
            container.stop(timeout=DRAIN)
            container.reload()
            code = container.attrs["State"]["ExitCode"]
            if code == KILLED:
                raise Unhealthy(f"{node} did not end within {DRAIN} s of SIGTERM")
            return f"{node} drained in {time.monotonic() - began:.1f} s and ended with exit code {code}"

        return await self._call(drain)

    async def run(self, node: str) -> None:
        """Have the container run, on its network, and return when it is healthy."""
        await self.resume(node)
        await self.reconnect(node)

        def start() -> None:
            container = self._container(node)
            if container.status != "running":
                container.start()

        await self._call(start)
        await self.healthy([node])
        self._meant_down.discard(node)

    async def disconnect(self, node: str) -> str:
        """Take the container off the network that it shares with Toxiproxy."""

        def disconnect() -> str:
            network, container = self._network(), self._living(node, "disconnected")
            if network.name in container.attrs["NetworkSettings"]["Networks"]:
                network.disconnect(container, force=True)
            return f"{node} (container {container.short_id}) taken off the network {network.name}"

        return await self._call(disconnect)

    async def reconnect(self, node: str) -> None:
        """Put it back under its name; nothing if it is there."""

        def reconnect() -> None:
            network, container = self._network(), self._container(node)
            if network.name not in container.attrs["NetworkSettings"]["Networks"]:
                network.connect(container, aliases=[node])

        await self._call(reconnect)

    async def strays(self) -> dict[str, str]:
        """Return the nodes that have ended though no fault did that, and how."""

        def look() -> dict[str, str]:
            found = {}
            for node in self._nodes:
                state = self._container(node).attrs["State"]
                if not state["Running"] and node not in self._meant_down:
                    killed = " for lack of memory" if state.get("OOMKilled") else ""
                    found[node] = f"ended with exit code {state['ExitCode']}{killed}"
            return found

        return await self._call(look)

    async def logs(self) -> dict[str, bytes]:
        """Return what each container has said, by service; nothing where Docker does not tell."""

        def look() -> dict[str, bytes]:
            mine = {"label": f"{LABEL}={self._project}"}
            found = self._client.containers.list(all=True, filters=mine, ignore_removed=True)
            return {container.labels[SERVICE]: container.logs(tail=MOST_LINES) for container in found}

        try:
            return await self._call(look)
        except Unhealthy:
            return {}

    async def sent_bytes(self, service: str) -> int:
        """Return the bytes that have gone out at a service's network interfaces since it was started."""

        def look() -> int:
            networks = self._container(service).stats(stream=False, one_shot=True).get("networks", {})
            return sum(int(network["tx_bytes"]) for network in networks.values())

        return await self._call(look)

    async def _call(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            # To its end: a thread cannot be cancelled, and would strike a node that was healed meanwhile.
            return await to_its_end(asyncio.to_thread(work, *arguments))
        except (docker.errors.DockerException, OSError) as error:
            raise Unhealthy(f"Docker refuses: {' '.join(str(error).split())[:300]}") from error

    def _container(self, service: str) -> Any:
        labels = [f"{LABEL}={self._project}", f"{SERVICE}={service}"]
        found = self._client.containers.list(all=True, filters={"label": labels}, ignore_removed=True)
        if not found:
            raise Unhealthy(f"the container of {service} is gone")
        return found[0]

    def _living(self, node: str, done: str) -> Any:
        container = self._container(node)
        if container.status not in ("running", "paused"):
            raise Unhealthy(f"{node} cannot be {done}: it is not running")
        return container

    def _network(self) -> Any:
        labels = [f"{LABEL}={self._project}", f"{NETWORK}={CLUSTER_NETWORK}"]
        found = self._client.networks.list(filters={"label": labels})
        if not found:
            raise Unhealthy(f"the network of {self._project} is gone")
        return found[0]

    def _is_healthy(self, service: str) -> bool:
        state = self._container(service).attrs["State"]
        if state["Status"] in ("exited", "dead"):
            raise Unhealthy(f"{service} ended with exit code {state['ExitCode']}: {self._last_words(service)}")
        return bool(state.get("Health", {}).get("Status") == "healthy")

    def _last_words(self, service: str) -> str:
        said = self._container(service).logs(tail=LAST_WORDS).decode(errors="replace")
        return " ".join(said.split())[-300:] or "it said nothing"
