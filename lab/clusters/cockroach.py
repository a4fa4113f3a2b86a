"""CockroachDB from the outside: how a node is told to start, and what its SQL says of leases and replicas.

Questions are asked with `fetch`, never `fetchval`: old versions end a session that asks for one row of a portal.

Node-to-node traffic is led through one proxy for each ordered pair of nodes by flags alone: every node names its
locality after itself, and tells each other node, by that locality, at which proxy it is to be dialled.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import asyncpg

from faults.topology import LinkName
from lab.clusters.base import Node
from lab.clusters.gateways import session
from lab.db.target import Address, Target
from lab.errors import Unhealthy

USER: Final = "root"
"""The user of an insecure cluster; it has no password."""

DATABASE: Final = "lab"
"""The database that the lab makes for itself."""

CACHE: Final = "64MiB"
"""Memory that a node may take for each of its two caches: three nodes have to fit beside an application."""

INIT: Final = 20.0
"""Seconds in which ``cockroach init`` succeeds."""

LOOK: Final = 0.2
"""Seconds between two looks at where the replicas are."""

SQL_TIMEOUT: Final = 10.0
"""Seconds that a question about leases may take."""

START_UP: Final = ("statement_timeout", "idle_in_transaction_session_timeout")
"""Settings that are given when a session starts; before 20.2 the second one is not known."""

REFUSALS: Final = (
    asyncpg.InvalidParameterValueError,
    asyncpg.UndefinedObjectError,
    asyncpg.FeatureNotSupportedError,
    asyncpg.CantChangeRuntimeParamError,
)
"""How a server says that it does not take a setting; any other error says nothing about the setting."""

TABLES: Final = """
SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
"""

RANGES: Final = """
SELECT lease_holder, array_length(replicas, 1) AS replicas FROM crdb_internal.ranges
WHERE database_name = current_database() AND table_name <> ''
"""

RANGES_OF: Final = """
SELECT lease_holder, array_length(replicas, 1) AS replicas FROM [SHOW RANGES FROM TABLE {table} WITH DETAILS]
"""


def start_arguments(
    name: str, addresses: Mapping[str, Address], http: Address, store: Path, links: Mapping[LinkName, Address]
) -> list[str]:
    """Return the arguments of ``cockroach`` that start node *name* with its peers behind their *links*."""
    peers = [peer for peer in addresses if peer != name]
    advertised = ",".join(f"node={peer}@{links[LinkName(peer, name)]}" for peer in peers)
    return [
        "start",
        "--insecure",
        f"--listen-addr={addresses[name]}",
        f"--advertise-addr={addresses[name]}",
        f"--http-addr={http}",
        f"--locality=node={name}",
        f"--locality-advertise-addr={advertised}",
        f"--join={','.join(str(links[LinkName(name, peer)]) for peer in peers)}",
        f"--store={store}",
        f"--cache={CACHE}",
        f"--max-sql-memory={CACHE}",
    ]


async def initialise(binary: Path, address: Address, environment: Mapping[str, str]) -> None:
    """Make one cluster of the nodes that wait for it, by the one at *address*; nothing if they are one.

    Raises Unhealthy with the program's words if that fails for INIT seconds.
    """
    # Again and again: a node that answers HTTP may not yet take the call.
    deadline = time.monotonic() + INIT
    while True:
        process = await asyncio.create_subprocess_exec(
            binary,
            "init",
            "--insecure",
            f"--host={address}",
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(INIT):
                output, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = output.decode(errors="replace").strip()
        if process.returncode == 0 or "already been initialized" in said:
            return
        if time.monotonic() > deadline:
            raise Unhealthy(f"cockroach init: {said}")
        await asyncio.sleep(LOOK)


async def make_database(target: Target, address: Address, within: float) -> None:
    """Make the lab's database if it is not there; retries within *within* seconds, as a new cluster may still elect."""
    deadline = time.monotonic() + within
    system = replace(target, database="defaultdb")
    while True:
        try:
            async with session(system, address, SQL_TIMEOUT) as connection:
                if not await connection.fetch("SELECT 1 FROM pg_database WHERE datname = $1", target.database):
                    await connection.execute(f"CREATE DATABASE {target.database}")
                return
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if time.monotonic() > deadline:
                raise Unhealthy(f"the new cluster takes no statements: {error}") from error
        await asyncio.sleep(LOOK)


async def version_of(target: Target, address: Address) -> str:
    """Return what the server says of itself, up to its build: ``CockroachDB CCL v25.2.4``."""
    async with session(target, address, SQL_TIMEOUT) as connection:
        told = str((await connection.fetch("SELECT version()"))[0][0])
        return re.split(r" \(| on ", told, maxsplit=1)[0]


async def injects_retries(target: Target, address: Address) -> bool:
    """Tell whether the server knows the setting that injects retry errors, and takes settings for one transaction."""
    try:
        async with session(target, address, SQL_TIMEOUT) as connection, connection.transaction():
            await connection.execute("SET LOCAL inject_retry_errors_enabled = off")
            return True
    except asyncpg.PostgresError:
        return False


async def refused_settings(target: Target, address: Address) -> frozenset[str]:
    """Return those of the settings that an application gives at its start which this server does not take."""
    refused = set()
    for name in START_UP:
        try:
            async with session(target, address, SQL_TIMEOUT, {name: "60000"}):
                pass
        except REFUSALS:
            refused.add(name)
    return frozenset(refused)


async def leaseholder(target: Target, nodes: Sequence[Node]) -> str:
    """Return the name of the node that holds most leases of the database's tables; *nodes* are asked directly.

    Raises Unhealthy if no node tells.
    """
    with in_words("nobody tells who holds the leases"):
        async with session(target, target.addresses[0], SQL_TIMEOUT) as connection:
            leases = Counter(row["lease_holder"] for row in await _ranges(connection))
        numbers = await _numbers(target, nodes)
    if not leases:
        raise Unhealthy("nobody holds a lease: the workload has no tables")
    return numbers[leases.most_common(1)[0][0]]


async def replicated(target: Target, count: int, within: float) -> None:
    """Return once every range of the database has *count* replicas; raise Unhealthy after *within* seconds."""
    deadline = time.monotonic() + within
    with in_words("nobody tells where the replicas are"):
        async with session(target, target.addresses[0], SQL_TIMEOUT) as connection:
            while True:
                thin = [row for row in await _ranges(connection) if row["replicas"] < count]
                if not thin:
                    return
                if time.monotonic() > deadline:
                    raise Unhealthy(f"{len(thin)} ranges have fewer than {count} replicas after {within:g} s")
                await asyncio.sleep(LOOK)


async def _ranges(connection: Any) -> list[Any]:
    try:
        return [
            row
            for table in await connection.fetch(TABLES)
            for row in await connection.fetch(RANGES_OF.format(table=_quoted(table["table_name"])))
        ]
    except asyncpg.PostgresSyntaxError:  # before 23.1
        return list(await connection.fetch(RANGES))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


async def _numbers(target: Target, nodes: Sequence[Node]) -> dict[int, str]:
    numbers = {}
    for node in nodes:
        async with session(target, node.address, SQL_TIMEOUT) as connection:
            numbers[int((await connection.fetch("SHOW node_id"))[0][0])] = node.name
    return numbers


@contextlib.contextmanager
def in_words(problem: str) -> Iterator[None]:
    """Turn what drivers raise in the block into Unhealthy, beginning with *problem*, in one line."""
    try:
        yield
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unhealthy(f"{problem}: {str(error).partition(chr(10))[0] or type(error).__name__}") from error
