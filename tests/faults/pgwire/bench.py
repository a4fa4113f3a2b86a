"""What the tests of rules work with: clients of both drivers, and the truth from a connection of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import asyncpg
import psycopg

from faults.client import ControlClient, FiringInfo, RuleInfo
from lab.db.drivers import cut
from tests.faults.wire import PATIENCE, soon

DRIVERS = ("asyncpg", "psycopg")
QUIET = 0.3
"""Seconds without an answer that count as a black hole."""


@dataclass(frozen=True)
class Database:
    """Where a database is."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    name: str

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def behind(self, address: str) -> Database:
        host, port = address.rsplit(":", 1)
        return replace(self, host=host, port=int(port))


class Client(Protocol):
    """A raw connection: `run` sends a statement, extended if it has arguments ($1), else simple."""

    raw: Any

    async def run(self, sql: str, *arguments: object) -> list[Any]: ...

    async def close(self) -> None: ...


class AsyncpgClient:
    def __init__(self, raw: Any) -> None:
        self.raw = raw

    async def run(self, sql: str, *arguments: object) -> list[Any]:
        if arguments:
            return [tuple(row) for row in await self.raw.fetch(sql, *arguments)]
        await self.raw.execute(sql)
        return []

    async def close(self) -> None:
        self.raw.terminate()


class PsycopgClient:
    def __init__(self, raw: psycopg.AsyncConnection[Any]) -> None:
        self.raw = raw

    async def run(self, sql: str, *arguments: object) -> list[Any]:
        text = sql.replace("$1", "%s").encode()
        cursor = await (self.raw.execute(text, arguments) if arguments else self.raw.execute(text))
        return await cursor.fetchall() if cursor.description else []

    async def close(self) -> None:
        await self.raw.close()


async def connect(database: Database, driver: str, name: str = "app", **options: Any) -> Client:
    common: dict[str, Any] = {
        "host": database.host,
        "port": database.port,
        "user": database.user,
        "password": database.password,
    }
    if driver == "asyncpg":
        options = {"ssl": False, "server_settings": {"application_name": name}, **options}
        return AsyncpgClient(await soon(asyncpg.connect(**common, database=database.name, **options)))
    options = {"sslmode": "disable", "application_name": name, "gssencmode": "disable", **options}
    opening = psycopg.AsyncConnection.connect(**common, dbname=database.name, autocommit=True, **options)
    return PsycopgClient(await soon(opening))


async def outcome(
    thing: Coroutine[Any, Any, object], client: Client | None = None, *, patience: float = PATIENCE
) -> str:
    """Return "ok", the SQLSTATE, "lost" for a dead connection, or "quiet" if nothing comes; then *client* is cut."""
    running = asyncio.ensure_future(thing)
    await asyncio.wait({running}, timeout=patience)
    quiet = not running.done()
    if quiet:
        assert client is not None, "no answer"
        cut(client.raw)
    try:
        await soon(running)
    except (OSError, asyncpg.ConnectionDoesNotExistError, asyncpg.InterfaceError):
        return "quiet" if quiet else "lost"
    except (asyncpg.PostgresError, psycopg.Error) as error:
        return "quiet" if quiet else str(getattr(error, "sqlstate", None) or "lost")
    return "ok"


class Bench:
    """A database behind a proxy; every client that it opens is closed with it."""

    def __init__(self, control: ControlClient, direct: Database, proxied: Database) -> None:
        self.control = control
        self.direct = direct
        self.proxied = proxied
        self._clients: list[Client] = []
        self._truth: Any = None

    async def clean(self) -> None:
        self._truth = await soon(
            asyncpg.connect(
                host=self.direct.host,
                port=self.direct.port,
                user=self.direct.user,
                password=self.direct.password,
                database=self.direct.name,
                ssl=False,
            )
        )
        await self._truth.execute("CREATE TABLE IF NOT EXISTS t (a int PRIMARY KEY); TRUNCATE t")

    async def client(self, driver: str, name: str = "app", **options: Any) -> Client:
        client = await connect(self.proxied, driver, name, **options)
        self._clients.append(client)
        return client

    async def rows(self) -> list[int]:
        """Return what the table holds in truth."""
        return [row[0] for row in await soon(self._truth.fetch("SELECT a FROM t ORDER BY a"))]

    async def ask(self, sql: str, *arguments: object) -> Any:
        """Return one value, past the proxy."""
        return await soon(self._truth.fetchval(sql, *arguments))

    async def firing(self) -> FiringInfo:
        """Return the only firing."""
        (firing,) = await self.control.firings()
        return firing

    async def rule(self, name: str) -> RuleInfo:
        return {rule.name: rule for rule in await self.control.rules()}[name]

    async def until(self, question: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the answer is yes."""
        async with asyncio.timeout(PATIENCE):
            while not await question():  # noqa: ASYNC110 - the question goes to another process
                await asyncio.sleep(0.01)

    async def until_waiting(self, rule: str, count: int = 1) -> None:
        async def enough() -> bool:
            return (await self.rule(rule)).waiting == count

        await self.until(enough)

    async def until_alone(self) -> None:
        """Wait until the proxy has no connection any more."""

        async def alone() -> bool:
            return not await self.control.connections("pg")

        await self.until(alone)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
        if self._truth is not None:
            await self._truth.close()
