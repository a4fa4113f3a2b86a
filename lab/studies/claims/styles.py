"""Claims about the two styles: session.query() and select(), filter() and where(), Core and ORM, rows and instances.

The legacy calls are the subject here, and marked as such.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Engine, select
from sqlalchemy.orm import Session

from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import Bench, Sent, sa_warnings, sent
from lab.studies.claims.models import Author


async def legacy_query(bench: Bench) -> Measured:
    """Run one question in both styles; compare what warns and what is sent."""
    await bench.fresh(authors=3)
    return await asyncio.to_thread(_legacy_query, bench.sync_engine())


def _legacy_query(engine: Engine) -> Measured:
    with Session(engine) as session:
        with sent(engine) as old, sa_warnings() as warned:
            before = session.query(Author).filter_by(name="author 1").order_by(Author.id).all()  # noqa: LAB101
        with sa_warnings() as got:
            session.query(Author).get(1)  # noqa: LAB102
        with sent(engine) as new:
            after = session.scalars(select(Author).where(Author.name == "author 1").order_by(Author.id)).all()
        same = _unlabelled(old) == _unlabelled(new) and before == list(after) and len(before) == 1
    return Measured(
        f"{len(warned)} warnings; the same SQL as select()" if same else "the SQL differs",
        (
            Part(
                "session.query() is deprecated: it warns",
                bool(warned),
                f"{len(warned)} warnings; Query.get(): {len(got)}",
            ),
            Part(
                "select() sends the same SQL, but for labels, and finds the same objects",
                same,
                f"{len(before)} and {len(after)} rows",
            ),
        ),
    )


def _unlabelled(sent: Sent) -> list[str]:
    """Return the statements without the labels of columns, in which the styles differ."""
    return [re.sub(r" AS \w+", "", statement) for statement in sent.statements]


async def one_syntax(bench: Bench) -> Measured:
    """Compare select() of an entity with select() of its table."""
    engine = await bench.fresh(authors=3)
    table = Author.__table__
    with sent(engine) as both:
        async with engine.connect() as connection:
            plain = (await connection.execute(select(table).where(table.c.id > 1))).all()
            mapped = (await connection.execute(select(Author).where(Author.id > 1))).all()
    same = len(set(both.statements)) == 1
    return Measured(
        f"the same SQL, {len(plain)} rows each" if same else "the SQL differs",
        (
            Part("select(Entity) and select(table) send the same SQL", same, f"{len(set(both.statements))} statement"),
            Part("they find the same rows", plain == mapped and bool(plain), f"{len(plain)} and {len(mapped)} rows"),
        ),
    )


async def mixed_styles(bench: Bench) -> Measured:
    """Use both styles in one session, and look whether they see one identity map and one transaction."""
    await bench.fresh(authors=1)
    return await asyncio.to_thread(_mixed_styles, bench.sync_engine())


def _mixed_styles(engine: Engine) -> Measured:
    with Session(engine) as session:
        old = session.query(Author).filter_by(id=1).one()  # noqa: LAB101
        new = session.scalars(select(Author).where(Author.id == 1)).one()
        old.name = "renamed"
        found = session.scalars(select(Author.name).where(Author.id == 1)).one()
    return Measured(
        "one session, one object, one transaction" if old is new else "two objects for one row",
        (
            Part("both styles give the same object in one session", old is new, f"the same object: {old is new}"),
            Part("a select() sees what was changed through query()", found == "renamed", f"it read '{found}'"),
        ),
    )


async def filter_replaced(bench: Bench) -> Measured:
    """Call filter() and filter_by() on select(), and compare with where()."""
    engine = await bench.fresh(authors=3)
    old = (select(Author).filter(Author.name == "author 2"), select(Author).filter_by(name="author 2"))
    new = select(Author).where(Author.name == "author 2")
    with sent(engine) as all_of_them, sa_warnings() as warned:
        async with engine.connect() as connection:
            rows = [(await connection.execute(statement)).all() for statement in (*old, new)]
    same = len(set(all_of_them.statements)) == 1 and rows[0] == rows[1] == rows[2]
    return Measured(
        f"{len(warned)} warnings; the same SQL for all three" if same else "they differ",
        (
            Part(
                "select() refuses filter() and filter_by(), warns of them, or does something else",
                bool(warned) or not same,
                f"{len(warned)} warnings, {len(set(all_of_them.statements))} statement, {len(rows[0])} row each",
            ),
        ),
    )


async def row_not_tuple(bench: Bench) -> Measured:
    """Look at what session.execute() gives with each way of taking its result."""
    await bench.fresh(authors=2)
    return await asyncio.to_thread(_row_not_tuple, bench.sync_engine())


def _row_not_tuple(engine: Engine) -> Measured:
    everybody, first = select(Author).order_by(Author.id), select(Author).where(Author.id == 1)
    with Session(engine) as session:
        row = session.execute(everybody).all()[0]
        one = session.execute(first).one()
        scalars = session.execute(everybody).scalars().all()
        scalar_one = session.execute(first).scalar_one()
        kinds = [type(found).__name__ for found in (row, one, scalars[0], scalar_one)]
    return Measured(
        f"one() gives a {kinds[1]}; scalar_one() the {kinds[3]}",
        (
            Part("execute().all() gives rows instead of instances", not isinstance(row, Author), kinds[0]),
            Part(
                "their attributes are not those of the entity",
                not hasattr(row, "name"),
                "row.name: there" if hasattr(row, "name") else "row.name: AttributeError",
            ),
            Part("a Row is a plain tuple", isinstance(row, tuple), f"isinstance(row, tuple): {isinstance(row, tuple)}"),
            Part("execute().scalars().all() gives instances", isinstance(scalars[0], Author), kinds[2]),
            Part(
                "execute().one() gives the instance", isinstance(one, Author), f"{kinds[1]}; scalar_one(): {kinds[3]}"
            ),
        ),
    )


async def future_mode(bench: Bench) -> Measured:
    """Run legacy calls on an engine and a session with future=True, and try to switch it off."""
    await bench.fresh(authors=1)
    return await asyncio.to_thread(_future_mode, bench)


def _future_mode(bench: Bench) -> Measured:
    engine = bench.sync_engine(future=True)
    with Session(engine, future=True) as session, sa_warnings() as warned:  # noqa: LAB107
        found = session.query(Author).filter(Author.id == 1).all()  # noqa: LAB101
    off = [name for name, make in _switched_off(bench).items() if _refused(make)]
    strict = bool(warned) or not found
    return Measured(
        f"{len(warned)} warnings; future=False refused by {len(off)} of 2",
        (
            Part(
                "with future=True legacy calls are refused or warned of",
                strict,
                f"session.query() answered {len(found)} row, {len(warned)} warnings; 2.0 knows no other mode: "
                f"future=False is refused by {' and '.join(off)}",
            ),
        ),
    )


def _switched_off(bench: Bench) -> dict[str, Callable[[], object]]:
    return {
        "create_engine": lambda: bench.sync_engine(future=False),
        "Session": lambda: Session(future=False),  # type: ignore[arg-type]  # the types know it, too
    }


def _refused(make: Callable[[], object]) -> bool:
    with suppress(Exception):
        make()
        return False
    return True


CLAIMS = (
    Claim(
        "legacy-query",
        "The legacy session.query(Model) API is deprecated in favor of select()",
        (False, True),
        "write select() in new code; query() is legacy and stays, so no warning will find it for you: `lab audit` does",
        legacy_query,
    ),
    Claim(
        "core-and-orm-select",
        "select() has identical syntax for raw table operations and mapped entity retrieval",
        (True, True),
        "use it for both; what comes back differs: instances from a session, columns from a connection",
        one_syntax,
    ),
    Claim(
        "mixed-styles",
        "1.4 and 2.0 syntax can be used simultaneously during migration",
        (True, True),
        "migrate query by query; no big bang is needed",
        mixed_styles,
    ),
    Claim(
        "filter-replaced",
        "filter() and filter_by() are replaced by where() on Select objects",
        (False,),
        "prefer where() for one style; the others are synonyms and may stay",
        filter_replaced,
    ),
    Claim(
        "row-not-tuple",
        "session.execute() without .scalars().all() or .one() returns raw Row tuples instead of ORM instances",
        (True, True, False, True, False),
        "session.scalars(...).all(), session.scalars(...).one() or execute(...).scalar_one(); one() alone gives a Row",
        row_not_tuple,
    ),
    Claim(
        "future-mode",
        "future=True on engines and sessions enforces strict 2.0 behavior",
        (False,),
        "remove it: under 2.0 it changes nothing",
        future_mode,
    ),
)
