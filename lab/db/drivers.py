"""What differs between the drivers: how a connection is opened, bounded and cut."""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal

import asyncpg
import psycopg

from lab.db.target import Tls
from lab.db.tcp import Tcp

Driver = Literal["asyncpg", "psycopg"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a connection may take, in seconds.

    *command*: the client's bound for one exchange. *close*: for being polite to a connection that is given up. The
    other two are the server's, given when the connection starts; None leaves the server's own value, and so does a
    name among those that the server *refuses*.
    """

    command: float
    close: float
    statement: float | None
    idle_in_transaction: float | None
    refuses: frozenset[str] = frozenset()
    schema: str | None = None
    tcp: Tcp = field(default_factory=Tcp)

    def parameters(self) -> dict[str, str]:
        """Return start-up parameters (times in milliseconds, as the servers want them)."""
        times = {
            "statement_timeout": self.statement,
            "idle_in_transaction_session_timeout": self.idle_in_transaction,
        }
        given = {"search_path": self.schema} if self.schema is not None else {}
        return given | {
            name: str(round(value * 1000))
            for name, value in times.items()
            if value is not None and name not in self.refuses
        }


Opener = Callable[[Mapping[str, Any], str, Tls, Bounds], Awaitable[Any]]


async def open_asyncpg(arguments: Mapping[str, Any], name: str, tls: Tls, bounds: Bounds) -> Any:
    """Open an asyncpg connection called *name* with the dialect's *arguments*."""
    connection = await asyncpg.connect(
        **arguments,
        ssl=tls,
        command_timeout=bounds.command,
        server_settings={"application_name": name} | bounds.parameters(),
        connection_class=BoundedAsyncpgConnection,
    )
    connection.close_timeout = bounds.close
    # asyncpg has no public way to its socket.
    bounds.tcp.apply(connection._transport.get_extra_info("socket"))  # noqa: SLF001
    return connection


async def open_psycopg(arguments: Mapping[str, Any], name: str, tls: Tls, bounds: Bounds) -> Any:
    """Open a psycopg connection called *name* with the dialect's *arguments*."""
    connection = await BoundedPsycopgConnection.connect(**arguments, **_psycopg_parameters(name, tls, bounds))
    connection.bounds = bounds
    return connection


def open_psycopg_sync(arguments: Mapping[str, Any], name: str, tls: Tls, bounds: Bounds, within: int) -> Any:
    """Open a synchronous psycopg connection; *within* are whole seconds, and libpq takes less than 2 for 2."""
    named = _psycopg_parameters(name, tls, bounds)
    connection = BoundedSyncConnection.connect(**arguments, **named, connect_timeout=within)
    connection.bounds = bounds
    return connection


def _psycopg_parameters(name: str, tls: Tls, bounds: Bounds) -> dict[str, Any]:
    options = " ".join(f"-c {option}={value}" for option, value in bounds.parameters().items())
    return {"sslmode": tls, "application_name": name, "options": options, **bounds.tcp.parameters()}


class BoundedAsyncpgConnection(asyncpg.Connection):  # type: ignore[misc]  # asyncpg ships no types
    """An asyncpg connection that closes within *close_timeout* seconds; SQLAlchemy alone would grant it 2."""

    # asyncpg's own class has slots, and its pool-less connections take no constructor arguments of ours.
    __slots__ = ("close_timeout",)

    async def close(self, *, timeout: float | None = None) -> None:
        """Close gracefully within the bound; raises TimeoutError when it was cut instead."""
        bound = getattr(self, "close_timeout", None)
        await super().close(timeout=min((t for t in (timeout, bound) if t is not None), default=None))


class BoundedPsycopgConnection(psycopg.AsyncConnection[Any]):
    """A psycopg connection with asyncpg's bounds, which psycopg lacks: without them a black hole has no end."""

    bounds: Bounds | None = None

    async def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Run a protocol exchange; cut the connection if it outlasts the bound.

        Raises OperationalError, so that SQLAlchemy sees a disconnect and drops the connection from its pool.
        """
        if self.bounds is None:
            return await super().wait(gen, *args, **options)
        clock = asyncio.get_running_loop()
        timer = clock.call_later(self.bounds.command, cut, self)
        try:
            return await super().wait(gen, *args, **options)
        except psycopg.OperationalError as error:
            if timer.when() > clock.time():
                raise
            raise psycopg.OperationalError(f"no answer within {self.bounds.command:g} s") from error
        finally:
            timer.cancel()

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """Ask the server to cancel what runs; cut the connection if that takes longer than the bound for closing."""
        try:
            await super().cancel_safe(timeout=min(timeout, self.bounds.close if self.bounds else timeout))
        except Exception:
            cut(self)
            raise


class BoundedSyncConnection(psycopg.Connection[Any]):
    """A synchronous psycopg connection with the same bound: libpq itself waits for ever in a black hole."""

    bounds: Bounds | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
        """Run a protocol exchange; cut the connection if it outlasts the bound, which psycopg tells as a disconnect."""
        if self.bounds is None:
            return super().wait(gen, *args, **options)
        timer = threading.Timer(self.bounds.command, cut, (self,))
        timer.daemon = True
        timer.start()
        try:
            return super().wait(gen, *args, **options)
        finally:
            timer.cancel()


OPENERS: Mapping[Driver, Opener] = {"asyncpg": open_asyncpg, "psycopg": open_psycopg}


def cut(driver_connection: Any) -> None:
    """Cut a raw asyncpg or psycopg connection at once, without a word to the server; one that is gone stays gone.

    Whatever waits on it ends with the driver's own connection error. A cancelled task would instead try to be polite
    to the server first, which takes seconds in a black hole (asyncpg 2 s, psycopg 5 s and more).
    """
    with suppress(Exception):
        if isinstance(driver_connection, psycopg.AsyncConnection | psycopg.Connection):
            _shut_down(driver_connection.fileno())
        else:
            driver_connection.terminate()


def _shut_down(descriptor: int) -> None:
    # libpq owns the descriptor; a duplicate lets Python shut the connection down and close only its own.
    with socket.socket(fileno=os.dup(descriptor)) as duplicate:
        duplicate.shutdown(socket.SHUT_RDWR)
