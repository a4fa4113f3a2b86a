"""What every workload keeps beside its own rows: a record for each unit that was applied, and fresh tables."""

from __future__ import annotations

import uuid

from sqlalchemy import Text, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from lab.db.models import Base, IdempotencyKey
from lab.db.schema import create_tables, drop_tables, table_of


class Effect(Base):
    """A unit's transaction was applied. *unit* is not unique on purpose: applied twice, it shows as two rows."""

    __tablename__ = "effects"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default_factory=uuid.uuid4, init=False)
    unit: Mapped[str] = mapped_column(Text)


async def effects_by_unit(session: AsyncSession) -> dict[str, int]:
    """Return how many times each unit was applied."""
    rows = await session.execute(select(Effect.unit, func.count()).group_by(Effect.unit))
    return dict(rows.tuples().all())


async def fresh_tables(engine: AsyncEngine, *models: type[Base]) -> None:
    """Make the tables of *models*, of effects and of idempotency keys anew."""
    every: list[type[Base]] = [*models, Effect, IdempotencyKey]
    tables = [table_of(model) for model in every]
    await drop_tables(engine, tables)
    await create_tables(engine, tables)
