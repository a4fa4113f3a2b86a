"""A place of its own for each case: a gateway and a schema, so that cases side by side never meet.

Schemas matter: with SERIALIZABLE, two units that insert keys into one index page conflict for real. In CockroachDB it
is a database, because old versions have no schemas; named after the cluster's, which takes it along when it goes.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import bindparam, text
from sqlalchemy.ext.asyncio import AsyncEngine

from faults.client import ControlClient, FiringInfo
from faults.errors import ControlRefused
from faults.pgwire.rules import Rule
from lab.clusters._ports import free_port
from lab.clusters.base import Cluster
from lab.db import Address, Target
from lab.db.dialects import end_sessions, unfinished

SETTLING = 1.0
"""Seconds that the server has to notice lost clients before their sessions are ended."""

ENDING = 5.0
"""Seconds that ending them may take."""

POLL = 0.02
PORTS = 20
"""Ports that are tried for a gateway."""

TABLES = """
CREATE {space} {name};
CREATE TABLE {name}.idempotency_keys (
    key text CONSTRAINT pk_idempotency_keys PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now());
CREATE TABLE {name}.validate_ledger (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), unit text NOT NULL);
CREATE TABLE {name}.validate_counter (name text PRIMARY KEY, value bigint NOT NULL);
INSERT INTO {name}.validate_counter VALUES {rows}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """Where one case happens; *name* is that of its gateway."""

    name: str
    cluster: Cluster
    admin: AsyncEngine
    listen: Address

    @property
    def control(self) -> ControlClient:
        """The control API."""
        return self.cluster.control

    @property
    def target(self) -> Target:
        """The database as the policy under test reaches it."""
        here = replace(self.cluster.direct, addresses=(self.listen,), tls="disable")
        return replace(here, database=self.space) if _cockroach(self.cluster) else replace(here, schema=self.space)

    @property
    def space(self) -> str:
        """The schema or database with its tables."""
        return _space(self.name, self.cluster)

    async def arm(self, rule: Rule, number: int) -> None:
        """Arm a rule for this place alone."""
        where = replace(rule.where, proxy=self.name)
        await self.control.arm(replace(rule, name=f"{self.name}-{number}-{rule.name}"[:200], where=where))

    async def disarm(self) -> None:
        """Take all rules of this place away."""
        for rule in await self.control.rules():
            if rule.name.startswith(f"{self.name}-"):
                await self.control.disarm(rule.name)

    async def firings(self) -> list[FiringInfo]:
        """Return what the rules of this place did."""
        return [firing for firing in await self.control.firings() if firing.proxy == self.name]

    async def open_transactions(self) -> int:
        """Return how many transactions stay open on the server, after it had time to notice lost clients."""
        for _ in range(int(SETTLING / POLL)):
            if not await unfinished(self.admin, f"{self.name}-"):
                return 0
            await asyncio.sleep(POLL)
        return await unfinished(self.admin, f"{self.name}-")

    async def effects(self, units: Sequence[str]) -> dict[str, int]:
        """End all sessions, so that nothing is in doubt any more; return how often each unit is in the database."""
        await end_sessions(self.admin, f"{self.name}-", ENDING)
        count = text(f"SELECT unit, count(*) FROM {self.space}.validate_ledger WHERE unit IN :units GROUP BY unit")  # noqa: S608
        async with self.admin.connect() as connection:
            rows = await connection.execute(
                count.bindparams(bindparam("units", expanding=True)), {"units": list(units)}
            )
            return {unit: int(found) for unit, found in rows}


@contextlib.asynccontextmanager
async def open_place(name: str, cluster: Cluster, admin: AsyncEngine, units: Sequence[str]) -> AsyncIterator[Place]:
    """Make a place with a counter for each unit; take its gateway and sessions away at the end."""
    rows = ", ".join(f"('{unit}', 0)" for unit in units)  # the units' names are ours
    making = TABLES.format(name=_space(name, cluster), rows=rows, space="DATABASE" if _cockroach(cluster) else "SCHEMA")
    async with admin.connect() as connection:
        for statement in making.split(";"):
            await connection.execute(text(statement))
    place = Place(name, cluster, admin, await _gateway(name, cluster))
    try:
        yield place
    finally:
        await place.disarm()
        await cluster.control.delete(name)


def _space(name: str, cluster: Cluster) -> str:
    return f"{cluster.direct.database}_{name}" if _cockroach(cluster) else name


def _cockroach(cluster: Cluster) -> bool:
    return cluster.direct.dialect == "cockroachdb"


async def _gateway(name: str, cluster: Cluster) -> Address:
    upstream = str(cluster.direct.addresses[0])
    for attempt in range(PORTS):
        port = free_port()
        try:
            await cluster.control.create(name, f"127.0.0.1:{port}", upstream, protocol="postgresql")
        except ControlRefused:
            if attempt == PORTS - 1:
                raise
        else:
            return Address("127.0.0.1", port)
    raise AssertionError
