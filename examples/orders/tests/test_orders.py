"""Orders survive what the network and the database do to them."""

from __future__ import annotations

import asyncio

import pytest
from orders.models import Order, Product
from orders.service import OrderService, SoldOut
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker

from lab.testing import LabFaults

STOCK = 100
"""What the fixture `truth` begins with."""


async def state(truth: AsyncEngine) -> tuple[int, int]:
    """Return how many orders there are, and how many books are left."""
    async with async_sessionmaker(truth)() as session:
        orders = await session.scalar(select(func.count()).select_from(Order))
        stock = await session.scalar(select(Product.stock).where(Product.sku == "book"))
        return orders or 0, stock or 0


@pytest.mark.resilience(
    "lost-ack", "lost-request", "ambiguous-commit", "40001-at-commit", "40001", "reset", "shutdown", "no-connection"
)
async def test_an_order_is_placed_once_whatever_strikes(service: OrderService, truth: AsyncEngine) -> None:
    order = await service.place("request-1", "book", 2)
    assert order.quantity == 2
    assert await state(truth) == (1, STOCK - 2)


async def test_a_lost_acknowledgement_is_an_order_all_the_same(service: OrderService, lab_faults: LabFaults) -> None:
    async with lab_faults("lost-ack") as fault:
        order = await service.place("request-1", "book", 1)
    assert fault.applied == 1  # the truth that the application was not told
    assert (await service.place("request-1", "book", 1)).id == order.id


async def test_conflicts_oversell_nothing(service: OrderService, truth: AsyncEngine) -> None:
    placed = await asyncio.gather(
        *(service.place(f"request-{number}", "book", 30) for number in range(4)), return_exceptions=True
    )
    assert sum(isinstance(one, SoldOut) for one in placed) == 1
    assert await state(truth) == (3, STOCK - 90)


async def test_a_lost_gateway_is_survived(service: OrderService, truth: AsyncEngine, lab_faults: LabFaults) -> None:
    await service.place("request-1", "book", 1)  # now there is a connection to lose
    async with lab_faults("gateway-down"):
        placing = asyncio.create_task(service.place("request-2", "book", 1))
        await asyncio.sleep(0.1)
    await placing
    assert await state(truth) == (2, STOCK - 2)
