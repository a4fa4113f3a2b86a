"""Claims about the scope of a session: what is begun, committed and given back, and when."""

from __future__ import annotations

import asyncio

from sqlalchemy import Engine, event, func, insert, select, update
from sqlalchemy.exc import InvalidRequestError, StatementError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker
from sqlalchemy.orm import Session

from lab.db.engine import session_factory
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, sent
from lab.studies.claims.models import Account, Author


async def explicit_boundaries(bench: Bench) -> Measured:
    """Work without begin() and without commit()."""
    engine = await bench.fresh()
    async with AsyncSession(engine) as session:
        await session.execute(insert(Account).values(id=1, balance=1))
        begun = session.in_transaction()
    kept = await _accounts(engine)
    implicit = [kind.__name__ for kind in (Engine, AsyncEngine) if hasattr(kind, "execute")]
    return Measured(
        f"begins by itself; {kept} rows without commit()",
        (
            Part("a transaction has to be begun explicitly", not begun, f"execute() alone has begun one: {begun}"),
            Part("nothing is committed without commit()", kept == 0, f"{kept} of 1 row was kept"),
            Part(
                "there is no implicit execution on an engine", not implicit, f"{len(implicit)} of 2 engines execute()"
            ),
        ),
    )


async def _accounts(engine: AsyncEngine) -> int:
    async with engine.connect() as connection:
        return int(await connection.scalar(select(func.count()).select_from(Account)) or 0)


async def one_door(bench: Bench) -> Measured:
    """Count the statements that a session sends, and those that its execute() has seen."""
    await bench.fresh(authors=2, books=2)
    return await asyncio.to_thread(_one_door, bench.sync_engine())


def _one_door(engine: Engine) -> Measured:
    seen: list[object] = []
    with Session(engine) as session:
        event.listen(session, "do_orm_execute", seen.append)
        with sent(engine) as read:
            author = session.query(Author).filter(Author.id == 1).one()  # noqa: LAB101
            session.get_one(Author, 2)
            list(author.books)
        reads = len(seen)
        with sent(engine) as written:
            author.name = "renamed"
            session.add(Author(id=3, name="new"))
            session.flush()
        writes = len(seen) - reads
    return Measured(
        f"{reads} of {len(read)} reads, {writes} of {len(written)} writes",
        (
            Part(
                "query(), get() and lazy loads go through execute()", reads == len(read) == 3, f"{reads} of {len(read)}"
            ),
            Part("what a flush writes goes through execute()", writes == len(written), f"{writes} of {len(written)}"),
        ),
    )


async def async_with(bench: Bench) -> Measured:
    """End blocks in three ways, and look what was committed, and what was given back."""
    engine = await bench.fresh()
    sessions = session_factory(engine)
    async with sessions() as session:
        await session.execute(insert(Account).values(id=1, balance=1))
    plain = await _accounts(engine)
    await _interrupted(sessions)
    out = engine.sync_engine.pool.checkedout()  # type: ignore[attr-defined]  # of a QueuePool
    async with sessions() as session, session.begin():
        await session.execute(insert(Account).values(id=2, balance=1))
    begun = await _accounts(engine) - plain
    refused = await _begin_after_read(sessions)
    return Measured(
        f"only begin() commits; {out} connections kept",
        (
            Part("the connection is given back, also after an exception", out == 0, f"{out} still checked out"),
            Part("'async with session' commits", plain == 1, f"{plain} of 1 row was kept"),
            Part(
                "'async with session.begin()' commits, and rolls back on an exception", begun == 1, f"{begun} of 2 rows"
            ),
            Part("session.begin() works in a session that was used before", not refused, refused or "it worked"),
        ),
    )


async def _interrupted(sessions: async_sessionmaker[AsyncSession]) -> None:
    try:
        async with sessions() as session, session.begin():
            await session.execute(insert(Account).values(id=3, balance=1))
            raise InterruptedError
    except InterruptedError:
        return


async def _begin_after_read(sessions: async_sessionmaker[AsyncSession]) -> str:
    async with sessions() as session:
        await session.execute(select(Account))
        try:
            async with session.begin():
                return ""
        except InvalidRequestError as error:
            return f"{type(error).__name__}: a transaction is already begun"


async def expire_on_commit(bench: Bench) -> Measured:
    """Read an attribute after commit and after rollback, with expire_on_commit on and off."""
    engine = await bench.fresh(authors=1)
    seen = {
        (expire, ending): await _read_after(engine, expire=expire, ending=ending)
        for expire in (True, False)
        for ending in ("commit", "rollback")
    }
    return Measured(
        f"after rollback: {seen[False, 'rollback']}",
        (
            Part("with True objects cannot be read after commit", _gone(seen[True, "commit"]), seen[True, "commit"]),
            Part("with False they can", not _gone(seen[False, "commit"]), seen[False, "commit"]),
            Part(
                "with False they can after rollback, too", not _gone(seen[False, "rollback"]), seen[False, "rollback"]
            ),
        ),
    )


def _gone(seen: str) -> bool:
    return seen != "read"


async def _read_after(engine: AsyncEngine, *, expire: bool, ending: str) -> str:
    async with async_sessionmaker(engine, expire_on_commit=expire)() as session:
        author = (await session.scalars(select(Author))).one()
        await session.execute(update(Author).where(Author.id == 0).values(name=""))
        await (session.commit() if ending == "commit" else session.rollback())
        try:
            return "read" if author.name else "empty"
        except StatementError as error:
            return type(error).__name__
        except InvalidRequestError as error:
            return type(error).__name__


CLAIMS = (
    Claim(
        "explicit-boundaries",
        "SQLAlchemy 2.0 mandates explicit transaction boundaries via begin(), commit() and rollback()",
        (False, True, True),
        "know that the first statement begins a transaction, and that only commit() or a begin() block keeps its work",
        explicit_boundaries,
    ),
    Claim(
        "all-through-execute",
        "All database interactions flow through Session.execute() or Connection.execute()",
        (True, False),
        "to see every statement listen to the engine (before_cursor_execute), not to the session (do_orm_execute)",
        one_door,
    ),
    Claim(
        "async-with-commits",
        "async with guarantees transaction commit/rollback and connection release, even during exceptions",
        (True, False, True, False),
        "'async with sessions.begin() as session' commits; 'async with session' alone rolls back",
        async_with,
    ),
    Claim(
        "expire-on-commit",
        "With expire_on_commit=False objects of an AsyncSession stay readable",
        (True, True, False),
        "set it, and do not touch objects after a rollback: load them again",
        expire_on_commit,
    ),
)
