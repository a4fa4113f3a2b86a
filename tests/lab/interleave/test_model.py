"""The model of the table does what a database does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlalchemy.exc import IntegrityError

from lab.interleave.model import Refused, execute
from lab.interleave.steps import Row, Statement
from tests.lab.interleave.serial import STATEMENTS, TABLE, answer_of, content, database, fill


@pytest.fixture(scope="module")
def sqlite() -> Iterator[Engine]:
    engine = database()
    yield engine
    engine.dispose()


@given(rows=TABLE, statements=st.lists(STATEMENTS, max_size=5))
def test_every_statement_answers_and_leaves_what_it_does_in_sqlite(
    sqlite: Engine, rows: tuple[Row, ...], statements: list[Statement]
) -> None:
    state = dict(rows)
    with sqlite.connect() as connection:
        fill(connection, rows)
        for statement in statements:
            try:
                expected = answer_of(connection, statement)
            except IntegrityError:
                with pytest.raises(Refused):
                    execute(state, statement)
                return
            state, answer = execute(state, statement)
            assert answer == expected
            assert tuple(sorted(state.items())) == content(connection)
        connection.rollback()
