"""A cluster of the user's own, by its addresses: a gateway of ours in front of each, and a database of the lab's own.

The lab makes that database and drops it, and touches nothing else. Nothing that it writes holds credentials.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

import asyncpg

from faults.client import ControlClient
from lab.clusters import _leftovers, cockroach
from lab.clusters._dsn import read_dsns
from lab.clusters._sessions import lose_gateway
from lab.clusters.base import ON_THE_WAY, Capability, Node
from lab.clusters.gateways import Gateways, session
from lab.clusters.toxiproxy_hop import ToxiproxyHop
from lab.db.target import Dialect, Target
from lab.errors import EnvironmentProblem, Unhealthy
from lab.state import RunFolder

TIMEOUT: Final = 10.0
"""Seconds that one statement of the lab's own may take; making a database is one."""


_NAMED_AFTER: Final = """
SELECT datname FROM pg_database WHERE datname = $1::text OR substr(datname::text, 1, length($1) + 1) = $1 || '_'
"""


class ExternalCluster:
    """The nodes at *dsns*, named n1, n2, ... in their order. *seed* decides every draw of the gateways.

    Raises UsageError for a DSN that cannot be used, without repeating it: it may hold a password.
    """

    name = "external"
    places: Final[Mapping[str, str]] = MappingProxyType({})
    starts_within: Final = 60.0
    heals_within: Final = 60.0

    def __init__(
        self,
        run: RunFolder,
        *,
        dsns: tuple[str, ...] = (),
        seed: int = 0,
        detached: bool = False,
        toxiproxy: object = None,
    ) -> None:
        self._theirs = read_dsns(dsns)
        self._run = run
        self._database = f"lab_{run.id.replace('-', '_')}"
        hop = None if toxiproxy is None else ToxiproxyHop(toxiproxy, run.path, run.environment())
        self._gateways = Gateways(run.path / "proxy.log", run.environment(), seed=seed, detached=detached, hop=hop)
        self._version = "a database of yours"
        self._own: Target | None = None
        self._made_in: Target | None = None
        self._injects = False

    @property
    def about(self) -> str:
        """What it is made of."""
        many = len(self._theirs.addresses)
        return f"{self._version}, {many} {'address' if many == 1 else 'addresses'} of your own{self._gateways.about}"

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What the lab can do to it: all that happens on the way there; its nodes are not ours."""
        if self._own is None or self._own.dialect != "cockroachdb":
            return ON_THE_WAY
        return ON_THE_WAY | {Capability.FORCED_RETRIES} | ({Capability.INJECTED_RETRIES} if self._injects else set())

    @property
    def node_names(self) -> tuple[str, ...]:
        """One name for each address."""
        return tuple(f"n{number}" for number in range(1, len(self._theirs.addresses) + 1))

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The addresses, each behind its gateway."""
        return self._gateways.nodes

    @property
    def target(self) -> Target:
        """The lab's database through the gateways."""
        return replace(self.direct, addresses=tuple(node.address for node in self.nodes), tls="disable")

    @property
    def direct(self) -> Target:
        """The lab's database around them."""
        return self._own or replace(self._theirs, database=self._database)

    @property
    def control(self) -> ControlClient:
        """The control API of the gateways."""
        return self._gateways.control

    async def start(self, within: float) -> None:
        """Look at the database, make one of our own in it, and open the gateways.

        Databases that killed runs of this user have left there are dropped. Raises EnvironmentProblem if the addresses
        do not answer, or do not let us make a database.
        """
        if self.nodes:
            return
        try:
            async with asyncio.timeout(within):
                await self._start(within)
        except TimeoutError as error:
            problem = f"the external cluster did not answer within {within:g} s"
            raise EnvironmentProblem(problem, "look whether the DSNs are right and the database is up") from error

    async def _start(self, within: float) -> None:
        first = self._theirs.addresses[0]
        try:
            self._version = await cockroach.version_of(self._theirs, first)
            refuses = await cockroach.refused_settings(self._theirs, first)
            dialect: Dialect = "cockroachdb" if self._version.startswith("CockroachDB") else "postgresql"
            theirs = replace(self._theirs, dialect=dialect, refuses=refuses)
            await self._make_database(theirs)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise EnvironmentProblem(
                f"{first}: {_line(error)}", "look at the DSN, and at the rights of its user"
            ) from error
        self._own = replace(theirs, database=self._database)
        self._injects = dialect == "cockroachdb" and await cockroach.injects_retries(self._own, first)
        await self._gateways.start(within)
        for name, address in zip(self.node_names, self._theirs.addresses, strict=True):
            await self._gateways.open(name, address)

    async def _make_database(self, theirs: Target) -> None:
        async with session(theirs, theirs.addresses[0], TIMEOUT) as connection:
            for left in await asyncio.to_thread(_leftovers.of_dead_runs, self._run.path):
                if await _drop(connection, theirs, left):
                    _leftovers.forget(self._run.path, left)
            if not await connection.fetch("SELECT 1 FROM pg_database WHERE datname = $1", self._database):
                _leftovers.remember(self._run.path, self._database)
                self._made_in = theirs
                # A start that was cut short may have asked for it, and the server be about to make it.
                with contextlib.suppress(asyncpg.DuplicateDatabaseError, asyncpg.UniqueViolationError):
                    await connection.execute(f"CREATE DATABASE {self._database}")

    async def stop(self, within: float) -> None:
        """Close the gateways and drop the lab's database; if that fails, the next run on this cluster does it."""
        theirs, self._made_in, self._own = self._made_in, None, None
        try:
            await self._gateways.stop(within)
        finally:
            if theirs is not None:
                with contextlib.suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                    async with session(theirs, theirs.addresses[0], TIMEOUT) as connection:
                        await _drop(connection, theirs, self._database)
                    _leftovers.forget(self._run.path, self._database)

    async def leave_running(self) -> None:
        """Let go of the gateways without ending them."""
        await self._gateways.leave_running()

    async def heal(self, within: float) -> None:
        """Let every gateway work."""
        try:
            async with asyncio.timeout(within):
                await self._gateways.heal()
        except TimeoutError as error:
            raise Unhealthy(f"not everything was healed within {within:g} s") from error

    async def healthy(self, within: float) -> None:
        """Return once each gateway has let a query through."""
        self._gateways.require_started()
        await self._gateways.healthy(self.target, within)

    async def lose_gateway(self, node: str) -> None:
        """Disable the gateway; its sessions on the server end with it."""
        if self.direct.dialect == "cockroachdb":
            await self.control.disable(node)
            return
        address = dict(zip((n.name for n in self.nodes), self._theirs.addresses, strict=True)).get(node)
        names = [n.name for n in self.nodes]
        await lose_gateway(self.control, node, names, self.direct, address or self._theirs.addresses[0])

    async def return_gateway(self, node: str) -> None:
        """Let the gateway listen again."""
        await self.control.enable(node)


async def _drop(connection: Any, target: Target, database: str) -> int:
    """Drop *database* and those that are named after it, as those of `lab validate` are; return how many there were."""
    # Both end what still uses it: the sessions of clients that were cut off.
    how = "CASCADE" if target.dialect == "cockroachdb" else "WITH (FORCE)"
    found = await connection.fetch(_NAMED_AFTER, database)
    for row in found:
        await connection.execute(f'DROP DATABASE IF EXISTS "{row["datname"]}" {how}')
    return len(found)


def _line(error: BaseException) -> str:
    if isinstance(error, socket.gaierror):
        return "there is no host of that name"
    if isinstance(error, TimeoutError):
        return "it does not answer as a database does"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return str(error).partition("\n")[0] or type(error).__name__
