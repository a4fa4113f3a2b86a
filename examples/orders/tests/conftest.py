"""The service on the lab's cluster. `--policy wrong` shows what the tests say of a policy that is wrong."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator

import pytest
from orders.models import Base, Product
from orders.service import OrderService, Policy, make_engine
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from lab.testing import LabCluster

STOCK = 100

PATIENT = 60.0
"""Seconds that a change of the schema may take: on several nodes it is no matter of milliseconds."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the policy be chosen."""
    parser.addoption("--policy", choices=["right", "wrong"], default="right", help="policy under test")


@pytest.fixture
def policy(request: pytest.FixtureRequest) -> Policy:
    """The policy under test."""
    module = "orders.policy_wrong" if request.config.getoption("--policy") == "wrong" else "orders.policy"
    found: Policy = importlib.import_module(module).run
    return found


@pytest.fixture
async def truth(lab_cluster: LabCluster) -> AsyncIterator[AsyncEngine]:
    """An engine around the faults, with fresh tables: one product, 100 left."""
    engine = lab_cluster.engine(direct=True, command_timeout=PATIENT, statement_timeout=PATIENT)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_sessionmaker(engine)() as session, session.begin():
        session.add(Product("book", STOCK))
    yield engine
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


@pytest.fixture
async def service(lab_url: str, truth: AsyncEngine, policy: Policy) -> AsyncIterator[OrderService]:
    """The service as users have it: its own engine, through the gateways that faults strike."""
    engine = make_engine(lab_url)
    yield OrderService(engine, policy)
    await engine.dispose()
