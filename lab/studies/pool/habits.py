"""More about pools: what settings do without any fault, and what befalls those who trust them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool
from sqlalchemy.util import greenlet_spawn

from lab.clusters.base import Cluster
from lab.db.engine import resilient_engine
from lab.studies.pool.cells import Client
from lab.studies.pool.engines import heard, plain_arguments, plain_url
from lab.studies.pool.facts import told
from lab.studies.pool.table import INSERT, TABLE

SHORT: Final = 0.2
"""Seconds of pool_timeout here."""

USERS: Final = 5
"""Connections of a pool that is to be seen at work."""

_numbers = itertools.count()
_QUESTION = text("SELECT 1")
_PID = text("SELECT pg_backend_pid()")
_SHOW = text("SELECT current_setting('statement_timeout')")
_COUNT = text(f"SELECT count(*) FROM {TABLE} WHERE cell = :cell")  # noqa: S608 - a constant
_END = text("SELECT pg_terminate_backend(:pid, 5000)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a habit is looked at: a cluster with a table, an engine that is the lab's own, and a *name* of its own."""

    cluster: Cluster
    truth: AsyncEngine
    client: Client
    name: str

    def engine(self, **settings: Any) -> AsyncEngine:
        """Return an engine as an application would write it, around the proxies."""
        direct, client = self.cluster.direct, self.client
        arguments = plain_arguments(direct, client, self.name)
        return create_async_engine(plain_url(direct, client), connect_args=arguments, **settings)


Look = Callable[[Place], Awaitable[str]]


def _on(look: Callable[[Engine, Place], str], **settings: Any) -> Look:
    """Return what has a synchronous look at an engine with *settings*."""

    async def run(place: Place) -> str:
        engine = place.engine(**settings)
        try:
            return str(await greenlet_spawn(look, engine.sync_engine, place))
        finally:
            await engine.dispose()

    return run


def _pid(connection: Connection) -> int:
    return int(connection.execute(_PID).scalar_one())


def _number(connection: Connection) -> int:
    """Return what tells the driver's connection from every other one: the pool keeps it with that connection."""
    number: int = connection.info.setdefault("number", next(_numbers))
    return number


def _one(engine: Engine) -> int:
    with engine.connect() as connection:
        connection.execute(_QUESTION)
        return _number(connection)


def _held(engine: Engine, count: int) -> list[int]:
    connections = [engine.connect() for _ in range(count)]
    try:
        return [_number(connection) for connection in connections]
    finally:
        for connection in connections:
            connection.close()


def _recycle(engine: Engine, _place: Place) -> str:
    with engine.connect() as connection:
        first = _number(connection)
        connection.execute(_QUESTION)
        again = _number(connection)
    kept = "kept" if again == first else "replaced"
    idle = "open" if _pool(engine).checkedin() == 1 else "closed"
    return f"{kept} while in use, {idle} while idle, {_fate(first, _one(engine))} at the next checkout"


def _used(engine: Engine, _place: Place) -> str:
    _held(engine, USERS)
    used = {_one(engine) for _ in range(USERS * 2)}
    return f"{USERS * 2} users in turn were served by {len(used)} of {USERS} connections"


def _full(engine: Engine, _place: Place) -> str:
    with engine.connect():
        began = time.monotonic()
        try:
            engine.connect().close()
        except PoolTimeout as error:
            waited = "no sooner than" if time.monotonic() - began >= SHORT else "sooner than"
            return f"{told(error)}, {waited} pool_timeout; the pool stays at {_pool(engine).checkedout()} in use"
    return "no error"


def _overflow(engine: Engine, _place: Place) -> str:
    pids = set(_held(engine, 3))
    left, reused = _pool(engine).checkedin(), _one(engine) in pids
    return f"3 at once, {left} kept afterwards{' and used again' if reused else ''}"


def _reset(engine: Engine, place: Place) -> str:
    raw = engine.raw_connection()
    cursor = raw.cursor()
    cursor.execute(f"INSERT INTO {TABLE} (cell) VALUES ('{place.name}')")  # noqa: S608 - a name of ours
    cursor.close()
    raw.close()
    with engine.begin() as connection:
        seen = connection.execute(_COUNT, {"cell": place.name}).scalar_one()
    with engine.connect() as connection:
        connection.rollback()
        kept = connection.execute(_COUNT, {"cell": place.name}).scalar_one()
    return f"the next user sees {seen} rows of an open transaction, and its COMMIT commits {kept}"


def _leak(engine: Engine, _place: Place) -> str:
    def after(sql: str) -> str:
        with engine.begin() as connection:
            connection.execute(text(sql))
        with engine.begin() as connection:
            return str(connection.execute(_SHOW).scalar_one())

    local, plain = after("SET LOCAL statement_timeout = '1234ms'"), after("SET statement_timeout = '1234ms'")
    return f"after SET LOCAL the next user has {local}, after SET {plain}"


async def _terminated(place: Place) -> str:
    engine = place.engine(pool_size=1, max_overflow=0, pool_timeout=SHORT)
    errors: list[str] = []

    def work(connection: Connection) -> None:
        connection.execute(INSERT, {"cell": place.name})
        connection.execute(text("SELECT 1"))

    try:
        try:
            async with engine.begin() as session:
                await session.run_sync(work)
                first, pid = await session.run_sync(_number), await session.run_sync(_pid)
                await _end(place, pid)
                await heard([(await session.get_raw_connection()).driver_connection])
                await session.run_sync(work)
        except Exception as error:
            errors.append(told(error))
        out = _pool(engine.sync_engine).checkedout()
        try:
            again = await greenlet_spawn(_one, engine.sync_engine)
            errors.append("then another connection, which works" if again != first else "then the same connection")
        except Exception as error:
            errors.append(f"then {told(error)}")
        return f"{', '.join(errors)}; {out} in use"
    finally:
        await engine.dispose()


async def _end(place: Place, pid: int) -> None:
    async with place.truth.connect() as connection:
        await connection.execute(_END, {"pid": pid})


async def _cancelled(place: Place) -> str:
    engine = place.engine(pool_size=1, max_overflow=0)
    try:
        async with engine.connect() as connection:
            first, pid = await connection.run_sync(_number), await connection.run_sync(_pid)
        task = asyncio.create_task(_sleep(engine))
        await _busy(place, pid)
        task.cancel()
        (outcome,) = await asyncio.gather(task, return_exceptions=True)
        pool = _pool(engine.sync_engine)
        out, kept = pool.checkedout(), pool.checkedin()
        fate = _fate(first, await greenlet_spawn(_one, engine.sync_engine))
        return f"{type(outcome).__name__}, its connection {fate} at the next checkout; {out} in use, {kept} idle"
    finally:
        await engine.dispose()


async def _sleep(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execute(text("SELECT pg_sleep(30)"))


async def _busy(place: Place, pid: int) -> None:
    busy = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid AND wait_event = 'PgSleep'")
    async with asyncio.timeout(10), place.truth.connect() as connection:
        free = await connection.execution_options(isolation_level="AUTOCOMMIT")
        while not (await free.execute(busy, {"pid": pid})).scalar_one():  # noqa: ASYNC110 - the server tells nobody
            await asyncio.sleep(0.01)


async def _late(place: Place) -> str:
    direct = place.cluster.direct
    engine = resilient_engine(direct, driver=place.client.driver, pool_size=1, command_timeout=SHORT * 2)
    try:
        first = await greenlet_spawn(_one, engine.sync_engine)
        try:
            async with engine.begin() as connection:
                await connection.execute(text("SELECT 1"))
                await connection.execute(text("SELECT pg_sleep(3)"))
        except Exception as error:
            seen = told(error)
        else:
            seen = "no error"
        return f"{seen}, its connection {_fate(first, await greenlet_spawn(_one, engine.sync_engine))}"
    finally:
        await engine.dispose()


def _pool(engine: Engine) -> QueuePool:
    pool = engine.pool
    if not isinstance(pool, QueuePool):
        raise TypeError(f"{type(pool).__name__} is no QueuePool")
    return pool


def _fate(first: int, then: int) -> str:
    return "kept" if first == then else "replaced"


_SMALL: Final = {"pool_size": 1, "max_overflow": 0}
_FIVE: Final = {"pool_size": USERS, "max_overflow": 0}

HABITS: Final[dict[str, Look]] = {
    "pool_recycle": _on(_recycle, pool_recycle=0, **_SMALL),
    "FIFO": _on(_used, **_FIVE),
    "LIFO": _on(_used, pool_use_lifo=True, **_FIVE),
    "pool_timeout": _on(_full, pool_timeout=SHORT, **_SMALL),
    "overflow": _on(_overflow, pool_size=1, max_overflow=2),
    "reset on return": _on(_reset, **_SMALL),
    "no reset on return": _on(_reset, pool_reset_on_return=None, **_SMALL),
    "SET leaks": _on(_leak, **_SMALL),
    "terminated in tx (sqlalchemy#13241)": _terminated,
    "cancelled task": _cancelled,
    "late, but alive": _late,
}
"""Name -> what looks at it with one client, and returns what it saw in a sentence."""

OF_POSTGRESQL: Final = frozenset({"SET leaks", "terminated in tx (sqlalchemy#13241)", "cancelled task"})
"""Those of the habits that ask for what PostgreSQL alone has: SET LOCAL in every version, sessions by process."""
