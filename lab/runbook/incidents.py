"""How each kind of incident is brought about, how it ends, and what evidence it leaves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from faults.pgwire.rules import Rule, Where, too_many_connections
from lab.arming import Evidence
from lab.cleanup import to_its_end
from lab.clusters.gateways import session
from lab.conducting import Live
from lab.db.dialects import end_sessions
from lab.db.engine import resilient_engine
from lab.errors import Unhealthy
from lab.runbook.application import Campaign
from lab.runbook.model import Hot, Leak, Stale, Storm
from lab.runner import APPLICATION

Heal = Callable[[], Awaitable[Evidence]]

POLL: Final = 0.05
"""Seconds between two looks at what is still there."""

OPENING: Final = 10.0
"""Seconds in which what an incident needs has to be open."""

OLD: Final = "old-app"
"""application_name of sessions whose clients are gone, before the number."""

NAMES: Final = {
    "postgresql": "SELECT application_name FROM pg_stat_activity WHERE application_name LIKE $1",
    "cockroachdb": "SELECT application_name FROM [SHOW CLUSTER SESSIONS] WHERE application_name LIKE $1",
}


async def leak(live: Live, asked: Leak) -> Heal:
    """Have so many workers take a connection of the application's pool, begin, and wait for something else."""
    held: list[AsyncConnection] = []
    ready = asyncio.Semaphore(0)
    never = asyncio.Event()
    workers = [asyncio.create_task(_worker(live, held, ready, never)) for _ in range(asked.connections)]

    async def heal() -> Evidence:
        never.set()
        await asyncio.gather(*workers, return_exceptions=True)
        return Evidence(len(held), len(held), note=f"{len(held)} connections held in open transactions")

    try:
        async with asyncio.timeout(OPENING):
            for _ in workers:
                await ready.acquire()
    except BaseException:
        await to_its_end(heal())
        raise
    return heal


async def _worker(live: Live, held: list[AsyncConnection], ready: asyncio.Semaphore, answered: asyncio.Event) -> None:
    while True:  # noqa: LAB401 - whoever waits for it has a bound
        try:
            connection = await live.engine.connect()
            break
        except (SQLAlchemyError, OSError):
            await asyncio.sleep(POLL)
    try:
        with contextlib.suppress(SQLAlchemyError):
            await connection.execute(text("SET idle_in_transaction_session_timeout = 0"))
        await connection.execute(text("SELECT count(*) FROM accounts"))
        driver = (await connection.get_raw_connection()).driver_connection
        held.append(connection)
        ready.release()
        while not answered.is_set() and driver is not None and not driver.is_closed():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(answered.wait(), POLL)
        await connection.invalidate()
    finally:
        await to_its_end(connection.close())


async def storm(live: Live, asked: Storm) -> Heal:
    """Fill the server's slots with sessions of clients that are gone, and end those of the application.

    New sessions of the application are refused (53300) for as long as one of the old ones is there.
    """
    cluster = live.cluster
    stack = contextlib.AsyncExitStack()
    control = cluster.control
    rule = Rule(
        name="storm",
        moment="request",
        action="error",
        where=Where(statement="CONNECT", application_name=f"{APPLICATION}-*"),
        sqlstate=too_many_connections().sqlstate,
        text="sorry, too many clients already",
        times=0,
    )
    watcher: asyncio.Task[None] | None = None

    async def heal() -> Evidence:
        if watcher is not None:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        if any(armed.name == rule.name for armed in await control.rules()):
            await control.disarm(rule.name)
        await stack.aclose()
        refused = [firing for firing in await control.firings() if firing.rule == rule.name]
        note = f"{asked.sessions} old sessions held their slots, {len(refused)} new ones were refused"
        return Evidence(len(refused), len({(f.proxy, f.connection) for f in refused}), note=note)

    try:
        crowd = [await stack.enter_async_context(_old_session(live, number)) for number in range(asked.sessions)]
        await control.arm(rule)
        await _end_application(live)
        watcher = asyncio.create_task(_slots(live, rule, crowd))
    except BaseException:
        await to_its_end(heal())
        raise
    return heal


@contextlib.asynccontextmanager
async def _old_session(live: Live, number: int) -> Any:
    nodes = live.cluster.nodes
    name = {"application_name": f"{OLD}-{number}"}
    async with session(live.cluster.target, nodes[number % len(nodes)].address, OPENING, name) as connection:
        yield connection


async def _end_application(live: Live) -> None:
    engine = resilient_engine(live.cluster.direct, application_name="lab-direct", pool_size=1)
    try:
        await end_sessions(engine, f"{APPLICATION}-", OPENING)
    finally:
        await engine.dispose()


async def _slots(live: Live, rule: Rule, crowd: list[Any]) -> None:
    while not all(connection.is_closed() for connection in crowd):  # noqa: ASYNC110 - the driver has no event
        await asyncio.sleep(POLL)
    await live.cluster.control.disarm(rule.name)


async def stale(live: Live, asked: Stale) -> Heal:
    """Have every session that the application has now answer its writes with an error, as of a former primary."""
    control = live.cluster.control
    names = await application_sessions(live)
    rules = [
        Rule(
            name=f"stale-{name}",
            moment="request",
            action="error",
            where=Where(application_name=name, sql=r"^\s*(insert|update|delete)\b"),
            sqlstate=asked.sqlstate,
            text="cannot execute the statement in a read-only transaction",
            times=0,
        )
        for name in names
    ]

    async def heal() -> Evidence:
        known = {armed.name for armed in await control.rules()}
        for rule in rules:
            if rule.name in known:
                await control.disarm(rule.name)
        ours = {rule.name for rule in rules}
        met = [firing for firing in await control.firings() if firing.rule in ours]
        note = f"{len(met)} writes refused on {len(names)} old sessions"
        return Evidence(len(met), len({(firing.proxy, firing.connection) for firing in met}), note=note)

    try:
        for rule in rules:
            await control.arm(rule)
    except BaseException:
        await to_its_end(heal())
        raise
    return heal


async def application_sessions(live: Live) -> list[str]:
    """Return the names of the sessions that the application has; Unhealthy if no node tells."""
    target = live.cluster.direct
    problem: Exception | None = None
    for address in target.addresses:
        try:
            async with session(target, address, OPENING) as connection:
                return sorted({row[0] for row in await connection.fetch(NAMES[target.dialect], f"{APPLICATION}-%")})
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            problem = error
    raise Unhealthy(f"nobody tells which sessions there are: {problem}")


async def hot(campaign: Campaign, asked: Hot) -> Heal:
    """Have nearly everybody want the same rows."""
    campaign.hot = asked.rows
    before = campaign.wanted

    async def heal() -> Evidence:
        campaign.hot = None
        wanted = campaign.wanted - before
        return Evidence(wanted, note=f"{wanted} operations wanted the same {asked.rows} rows")

    return heal
