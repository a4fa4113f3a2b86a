"""Claims about loading what belongs together: joined, by IN, when it is touched; and about turning it into DTOs."""

from __future__ import annotations

import asyncio
import time
import tracemalloc
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import Engine, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, joinedload, selectinload
from sqlalchemy.orm.exc import DetachedInstanceError

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, Sent, sa_warnings, sent
from lab.studies.claims.models import Author

AUTHORS, BOOKS, PRIZES = 20, 15, 15
"""How many authors, and of each how many books and prizes, where rows are counted."""


class BookDTO(BaseModel):
    """A book as an API tells it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    title: str


class AuthorDTO(BaseModel):
    """An author with all books."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str
    books: list[BookDTO]


class PlainDTO(BaseModel):
    """An author without anything that belongs to one."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    name: str


async def joined_or_selectin(bench: Bench, *, both: bool = True) -> Measured:
    """Load two collections (or one, unless *both*) of the same authors in both ways; count rows and statements."""
    engine = await bench.fresh(authors=AUTHORS, books=BOOKS, prizes=PRIZES)
    joined, slow, answer = await _load(engine, joinedload, both=both)
    selected, quick, same = await _load(engine, selectinload, both=both)
    ratio = joined.rows / selected.rows
    by_in = sum(" IN (" in statement for statement in selected.statements)
    return Measured(
        f"{joined.rows:,} rows against {selected.rows:,}: {ratio:.1f} times",
        (
            Part(
                "joinedload() of several collections multiplies rows",
                ratio >= 5 if answer == same else None,
                f"{joined.rows:,} rows against {selected.rows:,}, {slow / quick:.0f} times the time",
            ),
            Part(
                "joinedload() needs fewer round trips",
                len(joined) < len(selected),
                f"{len(joined)} statement against {len(selected)}",
            ),
            Part(
                "selectinload() asks by separate IN queries", by_in == len(selected) - 1, f"{by_in} of {len(selected)}"
            ),
        ),
    )


async def _load(engine: AsyncEngine, how: Any, *, both: bool) -> tuple[Sent, float, int]:
    options = [how(Author.books), *([how(Author.prizes)] if both else [])]
    began = time.perf_counter()
    async with AsyncSession(engine) as session:
        with sent(engine) as counted:
            authors = (await session.scalars(select(Author).options(*options))).unique().all()
    found = sum(len(author.books) + (len(author.prizes) if both else 0) for author in authors)
    return counted, time.perf_counter() - began, found


async def lazy_loading(bench: Bench) -> Measured:
    """Touch a collection that was not loaded, in a synchronous and in an asynchronous session."""
    engine = await bench.fresh(authors=3, books=2)
    statements, warned = await asyncio.to_thread(_touch, bench.sync_engine())
    async with AsyncSession(engine) as session:
        author = (await session.scalars(select(Author))).first()
        try:
            refused = f"{len(author.books)} books" if author else "no author"
        except InvalidRequestError as error:
            refused = type(error).__name__
    return Measured(
        f"{warned} warnings; async: {refused}",
        (
            Part("a Session warns of lazy loads", warned > 0, f"{statements} lazy loads, {warned} warnings"),
            Part("an AsyncSession refuses them", refused == "MissingGreenlet", refused),
        ),
    )


def _touch(engine: Engine) -> tuple[int, int]:
    with Session(engine) as session:
        authors = session.scalars(select(Author)).all()
        with sent(engine) as lazily, sa_warnings() as warned:
            for author in authors:
                list(author.books)
    return len(lazily), len(warned)


async def n_plus_one(bench: Bench, *, eager: bool = True) -> Measured:
    """Turn authors with their books into DTOs, lazily and eagerly loaded; count the statements."""
    await bench.fresh(authors=AUTHORS, books=2)
    engine = bench.sync_engine()
    lazily = await asyncio.to_thread(_serialize, engine, eager=False)
    eagerly = await asyncio.to_thread(_serialize, engine, eager=eager)
    asked = await _async_dto(bench)
    return Measured(
        f"{lazily} statements lazily, {eagerly} eagerly",
        (
            Part(
                "without eager loading a DTO costs N+1 queries",
                lazily == AUTHORS + 1,
                f"{lazily} for {AUTHORS} authors",
            ),
            Part(
                "with eager loading it does not", eagerly == 2, f"{eagerly} statements; unloaded in async code: {asked}"
            ),
        ),
    )


def _serialize(engine: Engine, *, eager: bool) -> int:
    options = [selectinload(Author.books)] if eager else []
    with Session(engine) as session, sent(engine) as counted:
        for author in session.scalars(select(Author).options(*options)):
            AuthorDTO.model_validate(author)
    return len(counted)


async def _async_dto(bench: Bench) -> str:
    async with AsyncSession(bench.engine()) as session:
        author = (await session.scalars(select(Author))).first()
        try:
            AuthorDTO.model_validate(author)
        except (ValidationError, InvalidRequestError) as error:
            return type(error).__name__
    return "loaded"


async def zero_copy(bench: Bench) -> Measured:
    """Turn loaded objects into DTOs; look for what both share, and for what is allocated."""
    await bench.fresh(authors=AUTHORS, books=BOOKS * 2)
    return await asyncio.to_thread(_zero_copy, bench.sync_engine())


def _zero_copy(engine: Engine) -> Measured:
    with Session(engine) as session:
        authors = session.scalars(select(Author).options(selectinload(Author.books))).all()
        AuthorDTO.model_validate(authors[0])
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            copies = [AuthorDTO.model_validate(author) for author in authors]
            after, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        pairs = list(zip(authors, copies, strict=True))
        lists = sum(copy.books is author.books for author, copy in pairs)  # type: ignore[comparison-overlap]  # the point
        copies[0].books.clear()
        kept = len(authors[0].books)
    objects = len(authors) * (1 + BOOKS * 2)
    each = (after - before) / objects
    return Measured(
        f"{lists} of {len(authors)} lists shared; {objects} new objects",
        (
            Part("the DTO shares the collections of the instance", lists == len(authors), f"{lists} of {len(authors)}"),
            Part(
                "a change of the DTO's list is one of the instance's",
                kept == 0,
                f"cleared: the instance has {kept} books",
            ),
            Part(
                "nothing is allocated for it",
                each < 1,
                f"{objects} new objects of some {round(each, -2):.0f} bytes each",
            ),
        ),
    )


async def dto_outside(bench: Bench) -> Measured:
    """Make DTOs of objects inside and outside the scope of their session."""
    await bench.fresh(authors=1, books=2)
    return await asyncio.to_thread(_dto_outside, bench.sync_engine())


def _dto_outside(engine: Engine) -> Measured:
    with Session(engine) as session:
        author = session.scalars(select(Author)).one()
    columns = _validated(PlainDTO, author)
    books = _validated(AuthorDTO, author)
    with Session(engine) as session:
        author = session.scalars(select(Author)).one()
        inside = _validated(AuthorDTO, author)
        session.commit()
    expired = _validated(PlainDTO, author)
    return Measured(
        f"columns {columns}; unloaded: {books}",
        (
            Part("outside the session loaded columns can be mapped", columns == "mapped", columns),
            Part("outside the session a relationship can be mapped", books == "mapped", f"not loaded before: {books}"),
            Part(
                "outside the session it can be mapped after a commit", expired == "mapped", f"expired by it: {expired}"
            ),
            Part("inside the session it cannot", inside != "mapped", f"inside, with its books: {inside}"),
        ),
    )


def _validated(model: type[BaseModel], author: Author) -> str:
    try:
        model.model_validate(author)
    except (ValidationError, DetachedInstanceError) as error:
        return type(error).__name__
    return "mapped"


CLAIMS = (
    Claim(
        "joined-vs-selectin",
        "joinedload() reduces round trips but can explode with several collections; selectinload() is predictable",
        (True, True, True),
        "selectinload() for collections, joinedload() for many-to-one",
        joined_or_selectin,
    ),
    Claim(
        "lazy-loading",
        "2.0 deprecates implicit lazy loading in favor of explicit eager loading",
        (False, True),
        "relationship(lazy='raise') makes a Session refuse it, too",
        lazy_loading,
    ),
    Claim(
        "n-plus-one-dto",
        "To avoid N+1 queries during serialization, load all required relationships eagerly",
        (True, True),
        "do so; an AsyncSession raises where a Session silently asks again and again",
        n_plus_one,
    ),
    Claim(
        "from-attributes-zero-copy",
        "from_attributes=True enables zero-copy serialization of SQLAlchemy models",
        (False, False, False),
        "take it as what it is, a copy; where rows are many select the columns and skip the instances",
        zero_copy,
    ),
    Claim(
        "dto-outside-session",
        "ORM instances should be mapped to DTOs at the boundary, not inside the session scope",
        (True, False, False, False),
        "map inside the block, or load everything and set expire_on_commit=False; return the DTO, never the instance",
        dto_outside,
    ),
)
