"""The bank: transfers between accounts and snapshot reads; the total never changes (Jepsen's classic workload)."""

from __future__ import annotations

import random as random_module
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, PositiveInt
from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks import conserved, explained
from lab.db.models import Base, IdempotencyKey
from lab.db.schema import create_tables, drop_tables, table_of
from lab.history import Json
from lab.verdict import Check
from lab.workloads.base import Perform, Request, State, Turn


class Account(Base):
    """An account and what it holds."""

    __tablename__ = "accounts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int]


class Transfer(Base):
    """A transfer on record. *unit* is not unique on purpose: a transfer that is applied twice shows as two rows."""

    __tablename__ = "transfers"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    unit: Mapped[str] = mapped_column(index=True)
    source: Mapped[int]
    destination: Mapped[int]
    amount: Mapped[int]


TABLES: Final = tuple(table_of(model) for model in (Account, Transfer, IdempotencyKey))


class TransferOrder(BaseModel):
    """What a client asks for; the journal holds it by these names."""

    model_config = ConfigDict(frozen=True, populate_by_name=True)

    source: int
    destination: int
    amount: PositiveInt


def draw_transfer(random: random_module.Random, accounts: int, most: int) -> tuple[TransferOrder, Json]:
    """Draw a transfer of *most* at most between two of *accounts*, and return it also as the journal holds it."""
    source, destination = random.sample(range(accounts), 2)
    order = TransferOrder(source=source, destination=destination, amount=random.randint(1, most))
    return order, {"from": order.source, "to": order.destination, "amount": order.amount}


class Balance(BaseModel):
    """What a client is told of an account, detached from the session."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    id: int
    balance: int


@dataclass(frozen=True, slots=True)
class Bank:
    """*accounts* accounts of *initial* each; a share *reads* (0 to 1) of the operations are snapshot reads.

    Few accounts make hot rows: transfers then conflict with each other all the time.
    """

    accounts: int = 8
    initial: int = 100
    reads: float = 0.3
    most: int = 5

    @property
    def name(self) -> str:
        """Its name in reports."""
        return "bank"

    @property
    def about(self) -> str:
        """What it does and what must hold."""
        return "transfers between accounts and snapshot reads; the total never changes"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Money is conserved in every snapshot, and the transfers on record explain every balance."""
        return conserved(total=self.total, accounts=self.accounts), explained(initial=self.initial)

    @property
    def total(self) -> int:
        """What all accounts hold together, always."""
        return self.accounts * self.initial

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the tables anew, with every account at its initial balance."""
        await drop_tables(engine, TABLES)
        await create_tables(engine, TABLES)
        async with engine.begin() as connection:
            rows = [{"id": number, "balance": self.initial} for number in range(self.accounts)]
            await connection.execute(insert(Account), rows)

    def next(self, random: random_module.Random, turn: Turn) -> Request:  # noqa: ARG002 - nothing has to be unique
        """Draw a read of all accounts, or a transfer between two."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: _read, writes=False)
        order, value = draw_transfer(random, self.accounts, self.most)
        return Request("transfer", value, lambda unit: _transfer(unit, order), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all balances, and how many times each unit is on record."""
        async with sessions() as session, session.begin():
            transfers = (await session.scalars(select(Transfer))).all()
            state: Json = {"balances": await _read(session), "moved": moved(transfers)}
            return State(state, dict(Counter(transfer.unit for transfer in transfers)))


async def _read(session: AsyncSession) -> Json:
    accounts = (await session.scalars(select(Account).order_by(Account.id))).all()
    balances = [Balance.model_validate(account) for account in accounts]
    return {str(balance.id): balance.balance for balance in balances}


def moved(transfers: Iterable[Transfer]) -> dict[str, Json]:
    """Return what the transfers on record add to each account: {"account": amount}."""
    net: Counter[str] = Counter()
    for transfer in transfers:
        net[str(transfer.source)] -= transfer.amount
        net[str(transfer.destination)] += transfer.amount
    return dict(net)


def _transfer(unit: str, order: TransferOrder) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        # Reading first and writing what was read makes a lost update possible wherever isolation is too weak.
        source = await session.get_one(Account, order.source)
        if source.balance < order.amount:
            session.add(Transfer(unit, order.source, order.destination, 0))
            return "refused"
        source.balance -= order.amount
        await session.execute(
            update(Account).where(Account.id == order.destination).values(balance=Account.balance + order.amount)
        )
        session.add(Transfer(unit, order.source, order.destination, order.amount))
        return "moved"

    return perform
