"""The engine of a unit: short bounds, and for both kinds of policy the same ones."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.db import Target, resilient_engine, resilient_sync_engine

COMMAND, CONNECT, POOL, IDLE = 1.0, 1.0, 2.0, 2.0
"""Seconds: for one exchange, for a connection, for one from the pool; the server's for an idle transaction."""


def asynchronous_engine(target: Target, name: str, size: int) -> AsyncEngine:
    """Return the engine of asynchronous policies."""
    return resilient_engine(
        target,
        application_name=name,
        pool_size=size,
        pool_timeout=POOL,
        connect_timeout=CONNECT,
        command_timeout=COMMAND,
        statement_timeout=None,
        idle_in_transaction_timeout=IDLE,
    )


def synchronous_engine(target: Target, name: str, size: int) -> Engine:
    """Return the engine of synchronous policies, with psycopg."""
    return resilient_sync_engine(
        target,
        application_name=name,
        pool_size=size,
        pool_timeout=POOL,
        connect_timeout=CONNECT,
        command_timeout=COMMAND,
        close_timeout=COMMAND,
        statement_timeout=None,
        idle_in_transaction_timeout=IDLE,
    )
