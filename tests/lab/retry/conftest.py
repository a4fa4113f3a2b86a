"""A counter in a real PostgreSQL, for every driver, behind a forwarder that can lose bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from lab.db import Address, Target, session_factory
from lab.db.drivers import Driver
from lab.retry import Sessions
from tests.lab.db.forwarder import Forwarder, forwarding
from tests.lab.retry.bench import Bench, bench


@pytest.fixture(params=["asyncpg", "psycopg"])
def driver(request: pytest.FixtureRequest) -> Driver:
    chosen: Driver = request.param
    return chosen


@pytest.fixture
async def forwarder(postgres: Any) -> AsyncIterator[Forwarder]:
    async with forwarding(postgres.host, postgres.port) as running:
        yield running


@pytest.fixture
def target(postgres: Any, forwarder: Forwarder) -> Target:
    address = Address("127.0.0.1", forwarder.port)
    return Target("postgresql", (address,), postgres.user, postgres.password, postgres.database)


@pytest.fixture
async def lab(postgres: Any, target: Target, driver: Driver) -> AsyncIterator[Bench]:
    direct = Target(
        "postgresql", (Address(postgres.host, postgres.port),), postgres.user, postgres.password, postgres.database
    )
    async with bench(target, direct, driver) as ready:
        yield ready


@pytest.fixture
def sessions(lab: Bench) -> Sessions:
    return session_factory(lab.engine)
