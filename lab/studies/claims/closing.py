"""Claims about making and closing sessions: what a pool gets back, and what a session needs."""

from __future__ import annotations

import asyncio
import gc
import warnings
from collections.abc import Awaitable
from typing import Any

from sqlalchemy import select, text
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, opened, sent
from lab.studies.claims.models import Author

POOL = 2
"""Connections of a pool that is to run dry."""

_ONE = text("SELECT 1")


async def unclosed_session(bench: Bench, *, close: bool = False) -> Measured:
    """Keep sessions on a pool that is too small for them, then drop one; *close* them first, and nothing is lost."""
    await bench.fresh()
    kept = await _third_session(bench, close=close)
    async_lost = await _dropped_async(bench, close=close)
    sync_lost = await asyncio.to_thread(_dropped_sync, bench)
    return Measured(
        f"session {POOL + 1} on a pool of {POOL} {'times out' if kept else 'works'}",
        (
            Part(
                "an AsyncSession that is not closed keeps its connection",
                kept,
                f"session {POOL + 1} on a pool of {POOL} {'times out' if kept else 'works'}",
            ),
            Part(
                "dropped without close(), its connection does not come back",
                async_lost != "reused",
                f"the next session's connection: {async_lost}",
            ),
            Part(
                "a synchronous session's comes back when it is collected",
                sync_lost == "reused",
                f"the next session's connection: {sync_lost}",
            ),
        ),
    )


async def _third_session(bench: Bench, *, close: bool) -> bool:
    engine = bench.engine(pool_size=POOL, max_overflow=0, pool_timeout=0.2)
    sessions = [AsyncSession(engine) for _ in range(POOL + 1)]
    try:
        for session in sessions:
            await session.execute(_ONE)
            if close:
                await session.close()
    except PoolTimeout:
        return True
    finally:
        for session in sessions:
            await session.close()
    return False


async def _dropped_async(bench: Bench, *, close: bool) -> str:
    engine = bench.engine(pool_size=1, max_overflow=0, pool_timeout=1)

    async def use() -> None:
        session = AsyncSession(engine)
        await session.execute(_ONE)
        if close:
            await session.close()

    connections = opened(engine)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            await use()
            gc.collect()
    told = sum("garbage" in str(one.message) for one in caught)
    return "reused" if len(connections) == 1 else f"another, {told} warnings"


def _dropped_sync(bench: Bench) -> str:
    engine = bench.sync_engine(pool_size=1, max_overflow=0, pool_timeout=1)
    connections = opened(engine)
    for _ in range(3):
        Session(engine).execute(_ONE)
        gc.collect()
    return "reused" if len(connections) == 1 else f"{len(connections)} connections"


async def sessionmaker_only(bench: Bench) -> Measured:
    """Make a session without a factory and use it without a block, and forget an await."""
    engine = await bench.fresh(authors=1)
    session = AsyncSession(engine)
    found = (await session.scalars(select(Author))).all()
    await session.close()
    out = engine.sync_engine.pool.checkedout()  # type: ignore[attr-defined]  # of a QueuePool
    async with AsyncSession(engine) as session:
        with sent(engine) as forgotten:
            never: Awaitable[Any] = session.execute(select(Author))
            never.close()  # type: ignore[attr-defined]  # a coroutine; closed, so that Python does not complain of it
    worked = len(found) == 1
    return Measured(
        f"no factory needed; {out} kept after close()",
        (
            Part("execute() without await sends nothing", len(forgotten) == 0, f"{len(forgotten)} statements"),
            Part("a session has to be made by async_sessionmaker", not worked, f"without it: {len(found)} row read"),
            Part("it has to be used in 'async with'", out > 0, f"after a plain close(): {out} still checked out"),
        ),
    )


CLAIMS = (
    Claim(
        "asyncsession-closing",
        "Unlike sessions that rely on garbage collection, AsyncSession must be closed to return connections",
        (True, True, True),
        "'async with' around every AsyncSession",
        unclosed_session,
    ),
    Claim(
        "async-sessionmaker",
        "Async sessions require await on all I/O, must be made by async_sessionmaker and need strict async with",
        (True, False, False),
        "a factory and a block are good habits: they keep options in one place and close whatever happens",
        sessionmaker_only,
    ),
)
