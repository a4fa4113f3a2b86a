"""The bank with a table for each account: a transfer and a snapshot span tables, and on a cluster ranges."""

from __future__ import annotations

import random as random_module
from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Mapped, mapped_column

from lab.checks import conserved, explained
from lab.db.models import Base
from lab.history import Json
from lab.verdict import Check
from lab.workloads.bank import Transfer, TransferOrder, draw_transfer, moved
from lab.workloads.base import Perform, Request, State, Turn
from lab.workloads.effects import fresh_tables

ROW = 0
"""The key of the only row of a table."""


class _Holding(Base):
    __abstract__ = True

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    balance: Mapped[int] = mapped_column()


@cache
def account(number: int) -> type[_Holding]:
    """Return the model of an account: a table of its own."""
    return type(f"Account{number}", (_Holding,), {"__tablename__": f"account_{number}", "__module__": __name__})


@dataclass(frozen=True, slots=True)
class BankTables:
    """*accounts* accounts of *initial* each; a share *reads* (0 to 1) of the operations are snapshot reads."""

    accounts: int = 6
    initial: int = 100
    reads: float = 0.3
    most: int = 5

    name: ClassVar[str] = "bank-tables"
    about: ClassVar[str] = "the bank with a table for each account; the total never changes"

    @property
    def checks(self) -> tuple[Check, ...]:
        """Money is conserved in every snapshot, and the transfers on record explain every balance."""
        total = self.accounts * self.initial
        return conserved(total=total, accounts=self.accounts), explained(initial=self.initial)

    async def set_up(self, engine: AsyncEngine) -> None:
        """Make the tables anew, with every account at its initial balance."""
        await fresh_tables(engine, Transfer, *map(account, range(self.accounts)))
        async with engine.begin() as connection:
            for number in range(self.accounts):
                await connection.execute(insert(account(number)), [{"id": ROW, "balance": self.initial}])

    def next(self, random: random_module.Random, turn: Turn) -> Request:  # noqa: ARG002 - the unit is unique
        """Draw a read of all accounts, or a transfer between two."""
        if random.random() < self.reads:
            return Request("read", None, lambda _unit: self._read, writes=False)
        order, value = draw_transfer(random, self.accounts, self.most)
        return Request("transfer", value, lambda unit: _transfer(unit, order), writes=True)

    async def read_back(self, sessions: async_sessionmaker[AsyncSession]) -> State:
        """Read all balances, and how many times each unit is on record."""
        async with sessions() as session, session.begin():
            transfers = (await session.scalars(select(Transfer))).all()
            state: Json = {"balances": await self._read(session), "moved": moved(transfers)}
            return State(state, dict(Counter(transfer.unit for transfer in transfers)))

    async def _read(self, session: AsyncSession) -> Json:
        # One statement a table: they see one snapshot only if the transaction gives them one.
        return {str(number): await _balance(session, number) for number in range(self.accounts)}


async def _balance(session: AsyncSession, number: int) -> int:
    model = account(number)
    return (await session.scalars(select(model.balance).where(model.id == ROW))).one()


def _transfer(unit: str, order: TransferOrder) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        # Reading first and writing what was read makes a lost update possible wherever isolation is too weak.
        source = await session.get_one(account(order.source), ROW)
        if source.balance < order.amount:
            session.add(Transfer(unit, order.source, order.destination, 0))
            return "refused"
        source.balance -= order.amount
        to = account(order.destination)
        await session.execute(update(to).where(to.id == ROW).values(balance=to.balance + order.amount))
        session.add(Transfer(unit, order.source, order.destination, order.amount))
        return "moved"

    return perform
