"""The engine of a unit: short bounds, and for both kinds of policy the same ones."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Any

import psycopg
from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.db import Target, application_engine
from lab.db.dialects import trust_row_counts
from lab.db.drivers import Bounds

COMMAND, CONNECT, POOL, IDLE = 1.0, 1.0, 2.0, 2.0
"""Seconds: for one exchange, for a connection, for one from the pool; the server's for an idle transaction."""


class _BoundedConnection(psycopg.Connection[Any]):
    """A psycopg connection whose exchanges end: libpq itself waits for ever in a black hole."""

    def wait(self, *args: Any, **options: Any) -> Any:
        """Run an exchange; cut the connection if it outlasts the bound, which psycopg reports as a disconnect."""
        timer = threading.Timer(COMMAND, _cut, (self,))
        timer.daemon = True
        timer.start()
        try:
            return super().wait(*args, **options)
        finally:
            timer.cancel()


def asynchronous_engine(target: Target, name: str, size: int) -> AsyncEngine:
    """Return the engine of asynchronous policies."""
    return application_engine(
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
    first = target.addresses[0]
    url = URL.create(f"{target.dialect}+psycopg", target.user, target.password, first.host, first.port, target.database)

    def connect() -> Any:
        _, arguments = engine.dialect.create_connect_args(url)
        bounds = Bounds(COMMAND, COMMAND, None, IDLE, target.refuses, target.schema)
        options = " ".join(f"-c {setting}={value}" for setting, value in bounds.parameters().items())
        return _BoundedConnection.connect(
            **arguments, sslmode=target.tls, application_name=f"{name}-0", options=options, connect_timeout=2
        )

    engine = create_engine(
        url,
        creator=connect,
        isolation_level="SERIALIZABLE",
        pool_size=size,
        max_overflow=0,
        pool_timeout=POOL,
        pool_pre_ping=True,
    )
    trust_row_counts(engine.dialect)
    return engine


def _cut(connection: psycopg.Connection[Any]) -> None:
    with suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
