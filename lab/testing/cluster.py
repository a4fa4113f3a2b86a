"""The cluster of a test session: started on the first use, driven from a thread of its own, removed at the end."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Iterable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.cleanup import STOP
from lab.clusters import ClusterChoice
from lab.clusters.base import Capability, Cluster, Node, missing_of
from lab.db import Target, resilient_engine
from lab.errors import unknown_name
from lab.state import RunFolder
from lab.suite import open_cluster
from lab.testing._loop import LoopThread
from lab.testing.engines import OwnLoop

T = TypeVar("T")


class LabCluster:
    """A running cluster for tests. Everything of it may be called from any test, asynchronous or not.

    *cluster* is the lab's own object: whatever is awaited of it, is awaited through `call`.
    """

    def __init__(self, choice: str | ClusterChoice = "embedded", *, seed: int = 0) -> None:
        """Start the cluster; what killed runs have left is removed first.

        Raises UsageError for an unknown cluster and EnvironmentProblem if this machine cannot run it.
        """
        self.seed = seed
        self._closed = False
        self._places = 0
        self._engines: list[OwnLoop] = []
        self._run: RunFolder
        self.cluster: Cluster
        self._run, self.cluster = open_cluster(choice, seed)
        self._loop = LoopThread("resilience-lab")
        try:
            self.call(self.cluster.start(self.cluster.starts_within))
        except BaseException:
            self.close()
            raise

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.cluster.name

    @property
    def about(self) -> str:
        """What it is made of, with versions."""
        return self.cluster.about

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes, each with the address of the gateway in front of it."""
        return self.cluster.nodes

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What it can do besides."""
        return self.cluster.capabilities

    @property
    def target(self) -> Target:
        """The database through the gateways, which faults strike."""
        return self.cluster.target

    @property
    def direct(self) -> Target:
        """The database around the gateways: for what a test sets up, and for the truth that it reads."""
        return self.cluster.direct

    @property
    def folder(self) -> Path:
        """A folder that goes when the cluster goes."""
        return self._run.path

    def lacks(self, needed: Iterable[str]) -> list[str]:
        """Return what it lacks of the capabilities *needed*; raise UsageError, with the nearest, for an unknown one."""
        return missing_of(self.cluster, [capability_named(name) for name in needed])

    def url(self, *, driver: str = "asyncpg", node: str | None = None, direct: bool = False) -> str:
        """Return a URL for SQLAlchemy, through the gateway of *node* (the first), or *direct*, around them all."""
        target = self.direct if direct else self._at(node)
        first = target.addresses[0]
        tls = {"ssl" if driver == "asyncpg" else "sslmode": target.tls}
        dialect = f"{target.dialect}+{driver}"
        made = URL.create(dialect, target.user, target.password, first.host, first.port, target.database, tls)
        return made.render_as_string(hide_password=False)

    def dsn(self, *, node: str | None = None, direct: bool = False) -> str:
        """Return the same for libpq, asyncpg and psycopg themselves."""
        url = self.url(driver="psycopg", node=node, direct=direct)
        return f"postgresql://{url.partition('://')[2]}"

    def engine(self, *, direct: bool = False, **options: Any) -> AsyncEngine:
        """Return a new engine of the lab's (see `lab.db.resilient_engine`, which takes the *options*).

        Its connections are spread over the nodes; those that a loop leaves open are closed when the loop ends.
        """
        engine = resilient_engine(self.direct if direct else self.target, **options)
        self._engines.append(OwnLoop(engine))
        return engine

    def dispose(self, engine: AsyncEngine) -> None:
        """Close the connections of an engine that `engine` made, unless its loop is the one that runs here."""
        for one in [one for one in self._engines if one.engine is engine]:
            one.dispose()
            self._engines.remove(one)

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run *work* on the cluster's own loop and wait for its answer; what runs on your loop waits as well."""
        return self._loop.call(work)

    def begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Begin *work* on the cluster's own loop."""
        return self._loop.begin(work)

    def place(self) -> str:
        """Return a prefix that no other experiment on this cluster has for its schemas."""
        self._places += 1
        return f"v{self._places}x"

    def heal(self) -> None:
        """Undo every fault, and forget what it left; raise Unhealthy if that is not possible."""
        self.call(self._heal())

    def close(self) -> None:
        """Stop the cluster and remove all that is left of it. Idempotent."""
        if self._closed:
            return
        self._closed = True
        with contextlib.ExitStack() as stack:  # each step is taken, whatever becomes of those before it
            stack.callback(self._run.remove, STOP)
            stack.callback(self._loop.close)
            stack.callback(lambda: self.call(self.cluster.stop(STOP)))
            for one in self._engines:
                stack.callback(one.dispose)

    async def _heal(self) -> None:
        cluster = self.cluster
        await cluster.heal(cluster.heals_within)
        await cluster.control.forget_evidence()
        await cluster.control.forget_firings()

    def _at(self, node: str | None) -> Target:
        target = self.target
        if node is None:
            return target
        places = {one.name: one.address for one in self.nodes}
        if node not in places:
            raise unknown_name("node", node, places)
        return replace(target, addresses=(places[node],))


def capability_named(name: str) -> Capability:
    """Return the capability called *name* ("server crash", server-crash, SERVER_CRASH); raise UsageError if none is."""
    plain = str(name).lower().replace("-", " ").replace("_", " ")
    try:
        return Capability(plain)
    except ValueError:
        raise unknown_name("capability", plain, [one.value for one in Capability]) from None
