"""Claims about declaring models: typed columns, dataclasses, overriding __init__, and what misconfiguration raises."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy.exc
import sqlalchemy.orm
import sqlalchemy.orm.exc
from sqlalchemy import Column, DateTime, Engine, Integer, String, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext import declarative
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    configure_mappers,
    mapped_column,
    registry,
)

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, sa_warnings, sqlstate_of

Key = Annotated[int, mapped_column(primary_key=True)]


class SeedBase(DeclarativeBase, MappedAsDataclass):
    """The base as the document has it."""


class User(SeedBase):
    """The model as the document has it, with a table of its own."""

    __tablename__ = "claims_users"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True, init=False)
    username: Mapped[str] = mapped_column(String(50), unique=True, nullable=False)
    email: Mapped[str] = mapped_column(String(255), unique=True, nullable=False)
    created_at: Mapped[datetime] = mapped_column(DateTime, server_default=func.now(), init=False)
    is_active: Mapped[bool] = mapped_column(default=True)
    last_login: Mapped[datetime | None] = mapped_column(default=None)


async def typed_models(bench: Bench) -> Measured:
    """Use the document's model: make, compare, store and find it."""
    return await asyncio.to_thread(_with_users, bench.sync_engine(), _typed_models)


def _with_users(engine: Engine, measure: Any) -> Measured:
    SeedBase.metadata.drop_all(engine)
    SeedBase.metadata.create_all(engine)
    try:
        measured = measure(engine)
    finally:
        SeedBase.metadata.drop_all(engine)
    assert isinstance(measured, Measured)  # noqa: S101 - narrows
    return measured


def _typed_models(engine: Engine) -> Measured:
    one, same = (User(username="ada", email="ada@example.org") for _ in range(2))
    written = [name for name in ("__init__", "__repr__", "__eq__") if name in vars(User)]
    with Session(engine) as session:
        session.add(one)
        session.commit()
        found = session.scalars(select(User)).one()
        again = session.get_one(User, one.id)
    identical = one is found is again
    annotated = _annotated()
    return Measured(
        f"{', '.join(written)}; hash: {'yes' if _hashable(one) else 'no'}",
        (
            Part(
                "__init__, __repr__ and __eq__ are generated",
                len(written) == 3 and "ada" in repr(same),
                f"{len(written)} of 3; hashable: {_hashable(one)}",
            ),
            Part("identity mapping is preserved", identical, f"three look-ups, one object: {identical}"),
            Part(
                "PEP 593 Annotated types define columns", annotated, "Annotated[int, mapped_column(primary_key=True)]"
            ),
        ),
    )


def _hashable(instance: object) -> bool:
    try:
        hash(instance)
    except TypeError:
        return False
    return True


def plain_base() -> type[Any]:
    """Return a new declarative base with a registry of its own."""

    class Fresh(DeclarativeBase):
        registry = registry(type_annotation_map={})

    return Fresh


def _annotated() -> bool:
    class Keyed(plain_base()):  # type: ignore[misc]  # a base made at run time
        __tablename__ = "keyed"
        id: Mapped[Key]

    return bool(Keyed.__table__.c.id.primary_key)


async def nullability(bench: Bench) -> Measured:
    """Give a typed model None and a misspelt name, and see who objects, and when."""
    return await asyncio.to_thread(_with_users, bench.sync_engine(), _nullability)


def _nullability(engine: Engine) -> Measured:
    columns = User.__table__.c
    typed = not columns.is_active.nullable and bool(columns.last_login.nullable)
    refused = "nobody"
    with Session(engine) as session:
        user = User(username=None, email="nobody@example.org")  # type: ignore[arg-type]  # the point
        session.add(user)
        try:
            session.flush()
        except IntegrityError as error:
            refused = f"the database, {sqlstate_of(error)}"
    misspelt = hasattr(user, "usrname")
    return Measured(
        f"None is refused by {refused}",
        (
            Part("Mapped[T] makes NOT NULL, Mapped[T | None] does not", typed, "bool: NOT NULL; datetime | None: NULL"),
            Part("None is refused before it reaches the database", not refused.startswith("the database"), refused),
            Part(
                "runtime AttributeError is eliminated",
                misspelt,
                f"user.usrname: {'found' if misspelt else 'AttributeError'}",
            ),
        ),
    )


async def column_deprecated(bench: Bench) -> Measured:  # noqa: ARG001 - no database is asked
    """Declare a model with Column(), and count warnings."""
    with sa_warnings() as warned:

        class Old(plain_base()):  # type: ignore[misc]  # a base made at run time
            __tablename__ = "old"
            id = Column(Integer, primary_key=True)  # noqa: LAB104
            name = Column(String)  # legacy on purpose

        configure_mappers()
    mapped = [column.name for column in Old.__table__.c]
    return Measured(
        f"{len(warned)} warnings, {len(mapped)} columns mapped",
        (
            Part(
                "Column() in a model is deprecated: it warns", bool(warned), f"{len(warned)} warnings for {len(mapped)}"
            ),
        ),
    )


async def base_deprecated(bench: Bench) -> Measured:  # noqa: ARG001 - no database is asked
    """Call declarative_base() from its two homes, and count warnings."""
    with sa_warnings() as old:
        declarative.declarative_base()  # noqa: LAB103
    with sa_warnings() as new:
        sqlalchemy.orm.declarative_base()  # noqa: LAB103
    return Measured(
        f"ext.declarative: {len(old)} warning; orm: {len(new)}",
        (
            Part(
                "sqlalchemy.ext.declarative.declarative_base() warns",
                bool(old),
                ", ".join(k.__name__ for k in old) or "no",
            ),
            Part("sqlalchemy.orm.declarative_base() warns", bool(new), f"{len(new)} warnings"),
        ),
    )


CLAIMS = (
    Claim(
        "typed-models",
        "MappedAsDataclass generates __init__, __repr__ and __eq__ while preserving ORM identity mapping",
        (True, True, True),
        "declare models so; the generated __eq__ makes instances unhashable: eq=False where sets or keys hold them",
        typed_models,
    ),
    Claim(
        "nullability",
        "Mapped and mapped_column() enforce nullability at compile time and eliminate runtime AttributeError",
        (True, False, False),
        "run a type checker: only that makes it true; at run time Python and SQLAlchemy check nothing",
        nullability,
    ),
    Claim(
        "column-deprecated",
        "Column() is deprecated in 2.0",
        (False,),
        "leave what works; use mapped_column() where you want types",
        column_deprecated,
    ),
    Claim(
        "declarative-base-deprecated",
        "The legacy declarative_base() is superseded by DeclarativeBase",
        (True, False),
        "class Base(DeclarativeBase); only the old import from sqlalchemy.ext.declarative warns",
        base_deprecated,
    ),
)
