"""The tables."""

from __future__ import annotations

from sqlalchemy import CheckConstraint, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, MappedAsDataclass, mapped_column


class Base(MappedAsDataclass, DeclarativeBase):
    """Models are dataclasses."""


class Product(Base):
    """What is sold, and how many are left."""

    __tablename__ = "products"
    __table_args__ = (CheckConstraint("stock >= 0", name="stock_left"),)

    sku: Mapped[str] = mapped_column(primary_key=True)
    stock: Mapped[int]


class Order(Base):
    """What was bought; *request* is the client's name for it."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True, init=False)
    request: Mapped[str] = mapped_column(index=True)
    sku: Mapped[str] = mapped_column(ForeignKey("products.sku"))
    quantity: Mapped[int]


class IdempotencyKey(Base):
    """A unit of work that was applied: written by the very transaction that applied it."""

    __tablename__ = "idempotency_keys"

    key: Mapped[str] = mapped_column(primary_key=True)
