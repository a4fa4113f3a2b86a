"""Transactions run one after the other in SQLite: another opinion on what a serial order gives."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, create_engine, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import StaticPool

from lab.interleave.model import Answer
from lab.interleave.outcome import Fate, Outcome, Seen
from lab.interleave.steps import Action, Delete, End, Insert, Read, Row, Schedule, Selection, Statement, Step, Write
from lab.interleave.table import TABLES, Pair, statement_of

SMALL = st.integers(1, 3)
SELECTIONS = st.one_of(
    st.just(Selection("all")),
    SMALL.map(lambda number: Selection("id", number)),
    st.integers(-2, 4).map(lambda number: Selection("value", number)),
    st.integers(1, 3).map(lambda number: Selection("multiple", number)),
)
STATEMENTS: st.SearchStrategy[Statement] = st.one_of(
    SELECTIONS.map(Read),
    st.builds(Write, SELECTIONS, st.integers(-2, 4), added=st.booleans()),
    SELECTIONS.map(Delete),
    st.tuples(SMALL, st.integers(-2, 4)).map(Insert),
)
TABLE = st.dictionaries(SMALL, st.integers(-2, 4)).map(lambda table: tuple(sorted(table.items())))
SCRIPTS = st.dictionaries(st.integers(1, 3), st.lists(STATEMENTS, min_size=1, max_size=4), min_size=1, max_size=3)


def database() -> Engine:
    """Return a SQLite in memory that holds the table."""
    engine = create_engine("sqlite://", poolclass=StaticPool)
    Pair.metadata.create_all(engine, tables=TABLES)
    return engine


def fill(connection: Connection, rows: Iterable[Row]) -> None:
    """Have the table hold these rows and no others."""
    connection.execute(statement_of(Delete(Selection("all"))))
    for number, value in rows:
        connection.execute(insert(Pair).values(id=number, value=value))


def content(connection: Connection) -> tuple[Row, ...]:
    """Return what the table holds."""
    return tuple((number, value) for number, value in connection.execute(select(Pair.id, Pair.value).order_by(Pair.id)))


def answer_of(connection: Connection, statement: Action) -> Answer:
    """Execute a statement, and return what its client is told."""
    assert not isinstance(statement, End)
    result: Any = connection.execute(statement_of(statement))
    return tuple((number, value) for number, value in result) if isinstance(statement, Read) else int(result.rowcount)


def ran(
    engine: Engine, initial: Sequence[Row], scripts: Mapping[int, Sequence[Statement]], order: Sequence[int]
) -> Outcome | None:
    """Return the outcome of the transactions in that order; None if one of them cannot insert."""
    seen = []
    with engine.connect() as connection:
        fill(connection, initial)
        try:
            for number in order:
                steps = [Step(number, statement, repr(statement)) for statement in scripts[number]]
                seen += [Seen(step, answer_of(connection, step.action)) for step in steps]
                seen.append(Seen(Step(number, End.COMMIT, "c")))
        except IntegrityError:
            return None
        final = content(connection)
        connection.rollback()
    schedule = Schedule(tuple(one.step for one in seen), tuple(initial))
    return Outcome(schedule, tuple(seen), dict.fromkeys(order, Fate.COMMITTED), final)
