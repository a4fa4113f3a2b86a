"""A database of our own on the shared server: other tests there have tables of the same names."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.clusters.postgres import PostgresServer
from lab.db.drivers import Driver
from lab.db.engine import IsolationLevel, resilient_engine
from lab.db.target import Address, Target

DATABASE = "workloads"

Engines = Callable[..., AsyncEngine]


@pytest.fixture(scope="session")
async def engines(postgres: PostgresServer) -> AsyncIterator[Engines]:
    """Engines of that database by their isolation level and driver."""
    admin: Any = await asyncpg.connect(
        host=postgres.host, port=postgres.port, user=postgres.user, password=postgres.password, database="postgres"
    )
    await admin.execute(f"CREATE DATABASE {DATABASE}")
    await admin.close()
    target = Target("postgresql", (Address(postgres.host, postgres.port),), postgres.user, postgres.password, DATABASE)
    made: dict[tuple[IsolationLevel, Driver], AsyncEngine] = {}

    def engine(level: IsolationLevel, driver: Driver = "asyncpg") -> AsyncEngine:
        if (level, driver) not in made:
            made[level, driver] = resilient_engine(target, isolation_level=level, driver=driver)
        return made[level, driver]

    yield engine
    for one in made.values():
        await one.dispose()


@pytest.fixture(scope="session")
async def engine(engines: Engines) -> AsyncEngine:
    """The engine of an application as it should be."""
    return engines("SERIALIZABLE")
