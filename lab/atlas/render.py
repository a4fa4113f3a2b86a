"""The atlas as Markdown for people and as JSON for machines; both are pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TypedDict

from lab.atlas.view import Measured
from lab.retry.view import View

HEADINGS = (
    "fault",
    "driver",
    "SQLSTATE",
    "driver's class",
    "SQLAlchemy's class",
    "invalidated",
    "asked",
    "server",
    "applied",
    "decision",
)

_INTRODUCTION = """\
# Error atlas

What an application sees when a fault strikes at an exact moment of the PostgreSQL conversation, and what was true.
Measured, not guessed: `lab atlas --write docs/error-atlas.md` writes this page, and a test holds it against a fresh
run.

Each row is one unit of work (one INSERT) on a connection of its own through SQLAlchemy's asyncio engine, and one fault
for exactly one of its statements. The truth does not come from the client: *server* is the fault proxy's record of
what was sent on and what the server answered, *applied* is the row counted afterwards, when the server had no session
of that unit left.

- **SQLSTATE**: `getattr(getattr(e, "orig", None) or e, "sqlstate", None)`. Where it is `-` there is none to be had.
- **driver's class**: the nearest error of the driver, or of Python if neither the driver nor SQLAlchemy wrapped it.
- **SQLAlchemy's class**: `-` means that a raw error comes out of SQLAlchemy; `except DBAPIError` does not catch it.
- **invalidated**: whether SQLAlchemy has given the connection up; `-` if there was none yet.
- **asked**: how far the unit had come: connect, statement, commit or autocommit.
- **server**: `not sent` if the statement never reached it, else its answer (a command tag or a SQLSTATE). What an
  injected SQLSTATE replaces is not sent either: the server fails by itself with that SQLSTATE, so that both agree.
- **applied**: whether the row was there afterwards.
- **decision**: of `lab.retry.classify(error, phase)`; `-` if the unit saw no error at all.

Two rows with the same error and opposite truths are the reason why a retry policy has to know what it had asked for:
compare `reset` at *COMMIT request* with `reset` at *COMMIT reply*. Every row that was applied although an error came
out says **unknown**; every row that says **retry** was not applied. That, too, is tested.
"""


@dataclass(frozen=True, slots=True)
class Atlas:
    """Everything that was measured. *about* names cluster and versions; it is no part of any comparison."""

    about: str
    cells: tuple[Measured, ...]


class CellJson(TypedDict):
    """One cell for machines."""

    moment: str
    fault: str
    driver: str
    sqlstate: str | None
    driver_class: str | None
    sqlalchemy_class: str | None
    invalidated: bool | None
    asked: str
    forwarded: bool | None
    answer: str | None
    applied: int
    decision: str | None
    fired: bool
    safe: bool


class AtlasJson(TypedDict):
    """The atlas for machines."""

    about: str
    cells: list[CellJson]


def to_markdown(atlas: Atlas) -> str:
    """Return the page."""
    parts = [_INTRODUCTION, f"Measured on {atlas.about}.\n"]
    for moment, cells in groupby(atlas.cells, key=lambda one: one.cell.moment):
        parts.append(f"## {moment[0].upper()}{moment[1:]}\n\n{_table([row(one) for one in cells])}")
    return "\n".join(parts)


def to_json(atlas: Atlas) -> AtlasJson:
    """Return the same for machines."""
    return {"about": atlas.about, "cells": [_cell_to_json(one) for one in atlas.cells]}


def rows_of(page: str) -> tuple[str, ...]:
    """Return headings and rows of a page: what two runs have to agree on. Column widths do not count."""
    lines = (line for line in page.splitlines() if line.startswith(("## ", "| ")))
    return tuple(" ".join(line.split()) for line in lines if not line.startswith("| -"))


def row(one: Measured) -> tuple[str, ...]:
    """Return the columns of a cell."""
    view = one.view or View(None, None, None)
    return (
        one.cell.fault.name,
        one.cell.driver,
        view.sqlstate or "-",
        view.driver_class or "-",
        view.sqlalchemy_class or "-",
        {None: "-", True: "yes", False: "no"}[one.invalidated],
        one.phase.value,
        _server(one),
        {0: "no", 1: "yes"}.get(one.applied, f"{one.applied} times"),
        one.decision.value if one.decision else "-",
    )


def _server(one: Measured) -> str:
    if one.forwarded is None:
        return "-"
    return one.answer or ("no answer" if one.forwarded else "not sent")


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    ruler = tuple("-" * width for width in widths)
    return "".join(f"{_line(cells, widths)}\n" for cells in (HEADINGS, ruler, *rows))


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    return f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |"


def _cell_to_json(one: Measured) -> CellJson:
    view = one.view or View(None, None, None)
    return {
        "moment": one.cell.moment.value,
        "fault": one.cell.fault.name,
        "driver": one.cell.driver,
        "sqlstate": view.sqlstate,
        "driver_class": view.driver_class,
        "sqlalchemy_class": view.sqlalchemy_class,
        "invalidated": one.invalidated,
        "asked": one.phase.value,
        "forwarded": one.forwarded,
        "answer": one.answer,
        "applied": one.applied,
        "decision": one.decision.value if one.decision else None,
        "fired": one.fired,
        "safe": one.safe,
    }
