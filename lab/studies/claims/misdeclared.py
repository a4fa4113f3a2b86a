"""Claims about mistakes in declaring models: overriding __init__, and what misconfiguration raises."""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

import sqlalchemy.exc
import sqlalchemy.orm
import sqlalchemy.orm.exc
from sqlalchemy import Engine, ForeignKey, select
from sqlalchemy.exc import ArgumentError, InvalidRequestError, SAWarning
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench
from lab.studies.claims.typed import Key, plain_base


async def init_override(bench: Bench) -> Measured:
    """Override __init__ with validation, and look at identity and lazy loading."""
    return await asyncio.to_thread(_init_override, bench.sync_engine())


def _init_override(engine: Engine) -> Measured:
    calls: list[str] = []
    base = plain_base()

    class Parent(base):  # type: ignore[misc,valid-type]  # a base made at run time
        __tablename__ = "claims_parent"
        id: Mapped[Key]
        name: Mapped[str]
        children: Mapped[list[Any]] = relationship("Child", back_populates="parent")

        def __init__(self, name: str) -> None:
            calls.append(name)
            super().__init__(name=name.strip())

    class Child(base):  # type: ignore[misc,valid-type]  # a base made at run time
        __tablename__ = "claims_child"
        id: Mapped[Key]
        parent_id: Mapped[int] = mapped_column(ForeignKey("claims_parent.id"))
        parent: Mapped[Any] = relationship(Parent, back_populates="children")

    base.metadata.drop_all(engine)
    base.metadata.create_all(engine)
    try:
        with Session(engine) as session:
            made = Parent(" Ada ")
            made.children.append(Child())
            session.add(made)
            session.commit()
        with Session(engine) as session:
            found = session.scalars(select(Parent)).one()
            identical = found is session.get(Parent, found.id)
            loaded = len(found.children)
    finally:
        base.metadata.drop_all(engine)
    return Measured(
        f"{len(calls) - 1} calls on loading; {loaded} of 1 lazy load",
        (
            Part(
                "overriding __init__ breaks the identity map", not identical, f"two look-ups, one object: {identical}"
            ),
            Part(
                "it interferes with lazy loading",
                loaded != 1,
                f"{loaded} of 1 child; __init__ is not called on loading",
            ),
        ),
    )


async def misconfigured(bench: Bench) -> Measured:  # noqa: ARG001 - no database is asked
    """Forget __tablename__ and back_populates, and see what is raised or warned of."""
    modules = (sqlalchemy.exc, sqlalchemy.orm, sqlalchemy.orm.exc)
    exists = any(hasattr(module, "MapperConfiguredError") for module in modules)
    untabled, neither, one_sided = _without_table(), _related(first=False), _related(first=True)
    return Measured(
        f"neither: {neither}; one side: {one_sided}",
        (
            Part("there is an error MapperConfiguredError", exists, f"without __tablename__: {untabled}"),
            Part("relationships without back_populates stay silent", neither == "silent", neither),
            Part("back_populates on one side only stays silent", one_sided == "silent", one_sided),
        ),
    )


def _without_table() -> str:
    try:

        class Untabled(plain_base()):  # type: ignore[misc]  # a base made at run time
            id: Mapped[Key]

    except (InvalidRequestError, ArgumentError) as error:
        return type(error).__name__
    return "silent"


def _related(*, first: bool) -> str:
    base = plain_base()

    class Parent(base):  # type: ignore[misc,valid-type]  # a base made at run time
        __tablename__ = "parent"
        id: Mapped[Key]
        children: Mapped[list[Any]] = relationship("Child", back_populates="parent" if first else None)

    class Child(base):  # type: ignore[misc,valid-type]  # a base made at run time
        __tablename__ = "child"
        id: Mapped[Key]
        parent_id: Mapped[int] = mapped_column(ForeignKey("parent.id"))
        parent: Mapped[Any] = relationship(Parent)

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            base.registry.configure()
        except (InvalidRequestError, ArgumentError) as error:
            return type(error).__name__
        finally:
            base.registry.dispose()
    return next((one.category.__name__ for one in caught if issubclass(one.category, SAWarning)), "silent")


CLAIMS = (
    Claim(
        "init-override",
        "Overriding __init__ on models breaks the identity map and interferes with lazy loading",
        (False, False),
        "it does neither; but __init__ does not run on loading: validate where data comes in",
        init_override,
    ),
    Claim(
        "mapper-configured-error",
        "Wrong __tablename__ and back_populates result in MapperConfiguredError or silent misconfiguration",
        (False, False, True),
        "call configure_mappers() in a test with warnings as errors",
        misconfigured,
    ),
)
