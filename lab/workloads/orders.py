"""Orders with stock and payments: what is sold leaves the stock, and every order is paid exactly once."""

from __future__ import annotations

import random as random_module
import uuid
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

from sqlalchemy import Text, func, insert, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks.workloads import orders_checks
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import fresh_tables


class Product(Base):
    """A product, what it costs, and how many are left."""

    __tablename__ = "products"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    price: Mapped[int]
    stock: Mapped[int]


class Order(Base):
    """An order; *quantity* is 0 if there was not enough. *unit* is not unique on purpose: a doubled order shows."""

    __tablename__ = "orders"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    unit: Mapped[str] = mapped_column(Text)
    product: Mapped[int]
    quantity: Mapped[int]


class Payment(Base):
    """What was paid for the order of a unit."""

    __tablename__ = "payments"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    unit: Mapped[str] = mapped_column(Text)
    amount: Mapped[int]


@dataclass(frozen=True, slots=True)
class Orders:
    """*products* products with *stock* of each; orders of 1 to *most* until they are sold out.

    A share *reads* (0 to 1) of the operations are snapshot reads of the stock and what was sold.
    """

    products: int = 8
    stock: int = 60
    most: int = 3
    reads: float = 0.2

    name: ClassVar[str] = "orders"
    about: ClassVar[str] = "orders take from the stock and are paid; stock and sold add up, each order is paid once"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Stock and sold add up in every snapshot and at the end, and orders and payments match."""
        return orders_checks(products=self.products, stock=self.stock)

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the tables anew, with everything in stock."""
        await fresh_tables(engine, Product, Order, Payment)
        rows = [{"id": number, "price": 5 + number, "stock": self.stock} for number in range(self.products)]
        async with engine.begin() as connection:
            await connection.execute(insert(Product), rows)

    def next(self, random: random_module.Random, turn: Turn) -> Request:  # noqa: ARG002 - the unit is unique
        """Draw a read, or an order."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        product, quantity = random.randrange(self.products), random.randint(1, self.most)
        value: Json = {"product": product, "quantity": quantity}
        return Request("order", value, lambda unit: _order(unit, product, quantity), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read stock, orders [unit, price, quantity] and payments [unit, amount], and how often each unit ordered."""
        async with sessions() as session, session.begin():
            wanted = select(Order.unit, Product.price, Order.quantity).join(Product, Product.id == Order.product)
            orders = (await session.execute(wanted.order_by(Order.unit))).tuples().all()
            payments = (await session.execute(select(Payment.unit, Payment.amount).order_by(Payment.unit))).tuples()
            state: Json = {
                "stock": await _read(session),
                "orders": [list(order) for order in orders],
                "payments": [list(payment) for payment in payments],
            }
            return State(state, dict(Counter(unit for unit, _, _ in orders)))


async def _read(session: AsyncSession) -> Json:
    """Return {"product": [stock, sold]}."""
    stock = (await session.execute(select(Product.id, Product.stock).order_by(Product.id))).tuples().all()
    totals = await session.execute(select(Order.product, func.sum(Order.quantity)).group_by(Order.product))
    sold = {product: int(total) for product, total in totals.tuples()}
    return {str(product): [left, sold.get(product, 0)] for product, left in stock}


def _order(unit: str, product: int, quantity: int) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        # Reading first and writing what was read makes a lost update possible wherever isolation is too weak.
        wanted = await session.get_one(Product, product)
        if wanted.stock < quantity:
            session.add(Order(unit, product, 0))
            return "sold out"
        wanted.stock -= quantity
        session.add_all([Order(unit, product, quantity), Payment(unit, quantity * wanted.price)])
        return "ordered"

    return perform
