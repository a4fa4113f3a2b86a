"""Claims about connections: what a pre-ping prevents, and what is cached on a connection."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import Final

from sqlalchemy import Engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session

from lab.clusters.base import Capability
from lab.db.drivers import Driver
from lab.db.target import Address, Target
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import DRIVERS, Bench, sent
from lab.studies.claims.models import Author
from lab.studies.claims.needs import Need

IDLE: Final = 3
"""Connections that die in a pool."""

NEWS: Final = 0.1
"""Seconds that the end of an idle connection may take to reach a client that is not asking."""

RUNS: Final = 12
"""How often one statement is run."""

_ONE = text("SELECT 1")


class Death(enum.Enum):
    """How connections end on the way: closed in an orderly way (FIN), or reset (RST)."""

    CLOSED = enum.auto()
    RESET = enum.auto()


async def pre_ping(bench: Bench, *, ping: bool = True) -> Measured:
    """Let connections die in the pool and in a transaction, closed or reset on the way, with pings or not."""
    await bench.fresh()
    on: list[str] = []
    off: list[str] = []
    for driver in DRIVERS:
        for death in Death:
            on += await _idle(bench, driver, death, ping=ping)
            off += await _idle(bench, driver, death, ping=False)
    pools = len(DRIVERS) * len(Death)
    midway = [await _in_transaction(bench, driver, ping=ping) for driver in DRIVERS]
    failed = [error for error in midway if error]
    kinds = sorted(set(off))
    return Measured(
        f"errors: idle {len(on)}, without {len(off)}; in mid-work {len(failed)}/{len(midway)}",
        (
            Part(
                "connections that died in the pool give no error",
                None if not off else not on,
                f"{len(on)} errors with it, {len(off)} without, in {pools} pools of {IDLE} dead connections",
            ),
            Part(
                "connections that drop in a transaction give no error",
                not failed,
                f"{len(failed)} of {len(midway)}: {', '.join(failed)}",
            ),
            Part("without it the error is ConnectionResetError", kinds == ["ConnectionResetError"], ", ".join(kinds)),
        ),
    )


async def _idle(bench: Bench, driver: Driver, death: Death, *, ping: bool) -> list[str]:
    """Return the errors that an application meets when every connection in its pool has died."""
    async with _own_proxy(bench) as target:
        engine = bench.engine(driver, target=target, pool_size=IDLE, pool_pre_ping=ping)
        async with AsyncExitStack() as stack:
            for _ in range(IDLE):
                await stack.enter_async_context(engine.connect())
        await _end(bench, death)
        errors = []
        for _ in range(IDLE):
            try:
                async with engine.connect() as connection:
                    await connection.execute(_ONE)
            except (DBAPIError, OSError) as error:
                errors.append(type(error).__name__)
        await engine.dispose()
    return errors


@asynccontextmanager
async def _own_proxy(bench: Bench) -> AsyncIterator[Target]:
    """Yield the database behind a proxy of its own, so that what dies there is nobody else's."""
    direct, name = bench.cluster.direct, f"{bench.name}-cut"
    proxy = await bench.cluster.control.create(name, "127.0.0.1:0", str(direct.addresses[0]), protocol="postgresql")
    try:
        host, _, port = proxy.listen.rpartition(":")
        yield replace(direct, addresses=(Address(host, int(port)),))
    finally:
        await bench.cluster.control.delete(name)


async def _end(bench: Bench, death: Death) -> None:
    """End every connection through the proxy, and give the clients time to hear of it."""
    control, name = bench.cluster.control, f"{bench.name}-cut"
    await (control.close_connections(name) if death is Death.CLOSED else control.reset_connections(name))
    await asyncio.sleep(NEWS)


async def _in_transaction(bench: Bench, driver: Driver, *, ping: bool) -> str:
    """Return the error of a transaction whose connection dies between two statements, or nothing."""
    async with _own_proxy(bench) as target:
        engine = bench.engine(driver, target=target, pool_pre_ping=ping)
        try:
            async with engine.begin() as connection:
                await connection.execute(_ONE)
                await _end(bench, Death.CLOSED)
                await connection.execute(_ONE)
        except (DBAPIError, OSError) as error:
            return f"{driver} {type(error).__name__}"
        finally:
            await engine.dispose()
    return ""


async def query_cache(bench: Bench) -> Measured:
    """Run one statement often; see how often SQLAlchemy compiles it, and which plans the server makes for it."""
    await bench.fresh(authors=5)
    hits = await asyncio.to_thread(_compiled, bench.sync_engine())
    custom, generic = await _plans(bench.engine(pool_size=1))
    return Measured(
        f"compiled once in {RUNS}; server plans {custom}+{generic}",
        (
            Part("a statement is compiled once", hits == RUNS - 1, f"{hits} of {RUNS} runs found it compiled"),
            Part(
                "the plan for it is always the same",
                custom == 0 or generic == 0,
                f"PostgreSQL planned {custom} runs for their values, and {generic} by one generic plan",
            ),
        ),
    )


def _compiled(engine: Engine) -> int:
    with Session(engine) as session, sent(engine) as counted:
        for number in range(RUNS):
            session.scalars(select(Author).where(Author.id == number)).all()
    return counted.cached


async def _plans(engine: AsyncEngine) -> tuple[int, int]:
    """Return how many runs had a plan of their own, and how many the generic one."""
    async with engine.connect() as connection:
        for number in range(RUNS):
            await connection.execute(select(Author.name).where(Author.id == number))
        plans = "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE :pattern"
        row = (await connection.execute(text(plans), {"pattern": "%FROM claims_author%"})).one()
    return int(row[0]), int(row[1])


CLAIMS = (
    Claim(
        "pre-ping",
        "pool_pre_ping=True prevents stale connection drops; neglecting it leads to ConnectionResetError",
        (True, False, False),
        "set it, and have a retry policy for what dies in use; `lab atlas` lists the errors, and none is that one",
        pre_ping,
        frozenset({Capability.TOXICS}),
    ),
    Claim(
        "query-cache",
        "2.0 enables precise query plan caching and deterministic query planning",
        (True, False),
        "what SQLAlchemy caches is SQL text; plans are the server's, and change after five runs",
        query_cache,
        of_server=frozenset({Need.PLAN_COUNTS}),
    ),
)
