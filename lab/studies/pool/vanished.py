"""A host that is gone without a word: who finds out, and by which setting. All at once, for it takes seconds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from faults.pgwire.rules import Rule, Where
from lab.db.engine import resilient_engine
from lab.db.target import Address
from lab.studies.pool.engines import POLL, at
from lab.studies.pool.facts import told
from lab.studies.pool.habits import Look, Place
from lab.studies.pool.strike import PATIENCE, open_proxy

UNACKNOWLEDGED: Final = 0.4
"""Seconds of tcp_user_timeout here."""

SILENT: Final = 1.0
"""Seconds of keepalive here: the kernel counts in whole ones."""

ENDLESS: Final = 3.0
"""Seconds after which a user is said to hang: the kernel itself would give up after minutes or hours."""

Ask = Callable[[Place, AsyncConnection, str], Awaitable["asyncio.Task[object]"]]

_Tcp = tuple[float | None, float | None]

_QUESTION = text("SELECT 2")


async def _sent_into_the_void(place: Place, connection: AsyncConnection, proxy: str) -> asyncio.Task[object]:
    await place.cluster.control.vanish(proxy)
    return asyncio.create_task(connection.execute(_QUESTION))


async def _acknowledged(place: Place, connection: AsyncConnection, proxy: str) -> asyncio.Task[object]:
    control = place.cluster.control
    await control.arm(Rule(proxy, "request", "hold", Where(proxy=proxy)))
    asking: asyncio.Task[object] = asyncio.create_task(connection.execute(_QUESTION))
    async with asyncio.timeout(PATIENCE):
        while not any(rule.name == proxy and rule.waiting for rule in await control.rules()):  # noqa: ASYNC110 - the proxy tells nobody
            await asyncio.sleep(POLL)
    await control.vanish(proxy)
    return asking


def _engine(
    place: Place, address: Address, name: str, user_timeout: float | None, keepalive: float | None
) -> AsyncEngine:
    return resilient_engine(
        at(place.cluster.target, address),
        driver=place.client.driver,
        application_name=name,
        pool_size=1,
        command_timeout=PATIENCE * 6,
        close_timeout=0.1,
        statement_timeout=None,
        idle_in_transaction_timeout=None,
        tcp_user_timeout=user_timeout,
        keepalive=keepalive,
    )


async def _seen(place: Place, ask: Ask, name: str, user_timeout: float | None, keepalive: float | None) -> str:
    """Ask on a connection in use, whose host is lost before or behind the question; return what the user meets."""
    control = place.cluster.control
    address = await open_proxy(place.cluster, name)
    engine = _engine(place, address, name, user_timeout, keepalive)
    try:
        connection = await engine.connect()
        await connection.execute(text("SELECT 1"))
        asking = await ask(place, connection, name)
        await asyncio.wait([asking], timeout=ENDLESS)
        seen = told(asking.exception() or TypeError()) if asking.done() else "hangs"
        await control.come_back(name)
        await control.reset_connections(name)
        with contextlib.suppress(Exception):
            async with asyncio.timeout(PATIENCE):
                await asking
        with contextlib.suppress(Exception):
            await connection.close()
        return seen
    finally:
        with contextlib.suppress(Exception):
            await control.disarm(name)
        await control.delete(name)
        await engine.dispose()


def _both(ask: Ask, setting: str, without: _Tcp, given: _Tcp) -> Look:
    async def look(place: Place) -> str:
        seen = await asyncio.gather(
            _seen(place, ask, f"{place.name}-without", *without), _seen(place, ask, f"{place.name}-with", *given)
        )
        return f"without {setting}: {seen[0]}; with: {seen[1]}"

    return look


VANISHED: Final[Mapping[str, Look]] = {
    "vanished, question not acknowledged": _both(
        _sent_into_the_void, "tcp_user_timeout", (None, None), (UNACKNOWLEDGED, None)
    ),
    "vanished, answer never comes": _both(_acknowledged, "keepalive", (UNACKNOWLEDGED, None), (UNACKNOWLEDGED, SILENT)),
}
"""Name -> what looks at it with one client, and returns what it saw in a sentence. They may be taken all at once."""
