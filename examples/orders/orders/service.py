"""What the application offers. It knows nothing of retries: those are the policy's business."""

from __future__ import annotations

from typing import Protocol

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine

from orders import policy
from orders.models import Order, Product
from orders.policy import Sessions, Work


class Policy(Protocol):
    """How a unit of work is run."""

    async def __call__(self, sessions: Sessions, work: Work[Order], *, key: str) -> Order | None:
        """Apply it once."""
        ...


class SoldOut(Exception):
    """There is not enough left; nothing was ordered."""


def make_engine(url: str) -> AsyncEngine:
    """Return the application's engine: SERIALIZABLE, and nothing waits without a bound."""
    bounds = {"timeout": 2.0, "command_timeout": 2.0}
    return create_async_engine(url, isolation_level="SERIALIZABLE", pool_pre_ping=True, connect_args=bounds)


class OrderService:
    """Sells products."""

    def __init__(self, engine: AsyncEngine, run: Policy = policy.run) -> None:
        self._sessions = async_sessionmaker(engine, expire_on_commit=False)
        self._run = run

    async def place(self, request: str, sku: str, quantity: int) -> Order:
        """Buy, once for each *request*; asked again it returns the same order. Raises SoldOut, or OutcomeUnknown."""

        async def work(session: AsyncSession) -> Order:
            product = (await session.scalars(select(Product).where(Product.sku == sku))).one()
            if product.stock < quantity:
                raise SoldOut(sku)
            product.stock -= quantity
            order = Order(request=request, sku=sku, quantity=quantity)
            session.add(order)
            return order

        return await self._run(self._sessions, work, key=request) or await self.find(request)

    async def find(self, request: str) -> Order:
        """Return the order of a request that was placed."""
        async with self._sessions() as session:
            return (await session.scalars(select(Order).where(Order.request == request))).one()

    async def sold(self, sku: str) -> int:
        """Return how many were sold."""
        async with self._sessions() as session:
            return await session.scalar(select(func.coalesce(func.sum(Order.quantity), 0)).where(Order.sku == sku)) or 0
