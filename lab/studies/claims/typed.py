"""Claims about declaring models: typed columns, dataclasses, overriding __init__, and what misconfiguration raises."""

from __future__ import annotations

import asyncio
import warnings
from datetime import datetime
from typing import Annotated, Any

import sqlalchemy.exc
import sqlalchemy.orm
import sqlalchemy.orm.exc
from sqlalchemy import Column, DateTime, Engine, ForeignKey, Integer, String, func, select
from sqlalchemy.exc import ArgumentError, IntegrityError, InvalidRequestError, SAWarning
from sqlalchemy.ext import declarative
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    Session,
    configure_mappers,
    mapped_column,
    registry,
    relationship,
)

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, deprecations, sqlstate_of

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
                str(len(written)),
            ),
            Part("identity mapping is preserved", identical, f"three look-ups, one object: {identical}"),
            Part(
                "PEP 593 Annotated types define columns", annotated, "Annotated[int, mapped_column(primary_key=True)]"
            ),
            Part("instances stay hashable, as those of plain models are", _hashable(one), "eq=True removes __hash__"),
        ),
    )


def _hashable(instance: object) -> bool:
    try:
        hash(instance)
    except TypeError:
        return False
    return True


def _base() -> type[Any]:
    class Fresh(DeclarativeBase):
        registry = registry(type_annotation_map={})

    return Fresh


def _annotated() -> bool:
    class Keyed(_base()):  # type: ignore[misc]  # a base made at run time
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
    with deprecations() as warned:

        class Old(_base()):  # type: ignore[misc]  # a base made at run time
            __tablename__ = "old"
            id = Column(Integer, primary_key=True)  # legacy on purpose
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
    with deprecations() as old:
        declarative.declarative_base()  # legacy on purpose
    with deprecations() as new:
        sqlalchemy.orm.declarative_base()  # legacy on purpose
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


async def init_override(bench: Bench) -> Measured:
    """Override __init__ with validation, and look at identity and lazy loading."""
    return await asyncio.to_thread(_init_override, bench.sync_engine())


def _init_override(engine: Engine) -> Measured:
    calls: list[str] = []
    base = _base()

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
        f"called {len(calls) - 1} times on loading; {loaded} of 1 lazy load",
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

        class Untabled(_base()):  # type: ignore[misc]  # a base made at run time
            id: Mapped[Key]

    except (InvalidRequestError, ArgumentError) as error:
        return type(error).__name__
    return "silent"


def _related(*, first: bool) -> str:
    base = _base()

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
        "typed-models",
        "MappedAsDataclass generates __init__, __repr__ and __eq__ while preserving ORM identity mapping",
        (True, True, True, False),
        "declare models so; give eq=False where instances go into sets or are keys",
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
