"""The sessions behind a gateway, on a PostgreSQL server: ended with it, even those that wait for a lock.

PostgreSQL does not look at its client while it waits; CockroachDB does, and needs none of this.
"""

from __future__ import annotations

import contextlib
from typing import Final

import asyncpg

from faults.client import ControlClient
from lab.clusters.gateways import address_of, session
from lab.db.target import Address, Target

ADMIN_TIMEOUT: Final = 10.0
"""Seconds that ending the sessions of a lost gateway may take, the server being up."""

_SESSIONS: Final = "SELECT pid, client_port FROM pg_stat_activity WHERE client_port = ANY($1::int[])"
_END: Final = "SELECT pg_terminate_backend(pid) FROM unnest($1::int[]) AS pid"


async def lose_gateway(control: ControlClient, node: str, nodes: list[str], direct: Target, address: Address) -> None:
    """Disable the gateway of *node*, one of *nodes*, and end the sessions that ran through it at *address*."""
    ports = await _ports(control, node)
    await control.disable(node)
    # A server that is down has no sessions. One that came through between these two calls is in its log-in, and
    # ends by itself: it has no transaction yet that could make it wait for anything but its client.
    with contextlib.suppress(ConnectionError, asyncpg.CannotConnectNowError):
        async with session(direct, address, ADMIN_TIMEOUT) as admin:
            sessions = await admin.fetch(_SESSIONS, list(ports))
            # Another gateway may have been given a port that was free again; hence the order of these two.
            alive = {port for name in nodes for port in await _ports(control, name)}
            lost = [row["pid"] for row in sessions if row["client_port"] not in alive]
            await admin.execute(_END, lost)


async def _ports(control: ControlClient, gateway: str) -> set[int]:
    return {address_of(connection.server_side).port for connection in await control.connections(gateway)}
