"""The table as a model: what a statement answers, and what it leaves, if nobody else is there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from lab.interleave.steps import Delete, Insert, Read, Row, Statement, Write

Answer: TypeAlias = tuple[Row, ...] | int
"""What a statement tells its client: the rows read, in order of their ids, or how many rows were changed."""


class Refused(Exception):
    """The table cannot do this: it has a row of that id."""


def execute(state: Mapping[int, int], statement: Statement) -> tuple[dict[int, int], Answer]:
    """Return the table (id to value) after *statement*, and its answer. Raises Refused for an id that is taken."""
    if isinstance(statement, Insert):
        number, value = statement.row
        if number in state:
            raise Refused
        return {**state, number: value}, 1
    chosen = tuple(row for row in sorted(state.items()) if statement.rows.holds(row))
    if isinstance(statement, Read):
        return dict(state), chosen
    if isinstance(statement, Delete):
        return {number: value for number, value in state.items() if (number, value) not in chosen}, len(chosen)
    return {**state, **_written(chosen, statement)}, len(chosen)


def _written(chosen: tuple[Row, ...], statement: Write) -> dict[int, int]:
    return {number: statement.value + (value if statement.added else 0) for number, value in chosen}
