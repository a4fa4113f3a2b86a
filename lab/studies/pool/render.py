"""The matrix as a table for the terminal, as JSON, and as a page; pure functions of what was measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from lab.history import Json
from lab.studies.base import StudyTable
from lab.studies.pool.cells import COLUMNS, Cell, Client, Death, Moment, Setting
from lab.studies.pool.engines import SIZE, WAITS
from lab.studies.pool.facts import Measured
from lab.studies.pool.judge import Expected, Seen
from lab.studies.pool.matrix import ENDLESS, USERS

_SHORT: Final = {Client.ASYNCPG: "asyncpg", Client.PSYCOPG: "psycopg", Client.PSYCOPG_SYNC: "sync"}
_LEGEND: Final = (
    f"1/3 0.2: 1 of {USERS} users of a pool of {SIZE} met an error, 3 connections were opened anew, 0.2 s at most",
    f"hangs: no answer within {ENDLESS:g} s; !: the last user still failed; -: nothing pings, or not measured",
    "off, on: SQLAlchemy's defaults without and with pool_pre_ping; resil.: lab.db.resilient_engine",
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """All that a run has measured; *left_out* says what could not be, and why."""

    measured: tuple[Measured, ...]
    seen: tuple[Seen, ...]
    left_out: tuple[str, ...] = ()


def table_of(matrix: Matrix) -> StudyTable:
    """Return death and moment x client and setting, in 80 columns."""
    found = {one.cell: one for one in matrix.measured}
    headings = [
        f"{_SHORT[client]}\n{'resil.' if setting is Setting.RESILIENT else setting}" for client, setting in COLUMNS
    ]
    rows = [
        (f"{death} {moment}", *(_mark(found.get(Cell(death, moment, *column))) for column in COLUMNS))
        for death in Death
        for moment in Moment
    ]
    looks = [f"{title}: {text}" for title, text in _merged(matrix.seen)]
    return StudyTable(("", *headings), tuple(rows), (*_LEGEND, *matrix.left_out, *looks))


def _mark(one: Measured | None) -> str:
    if one is None:
        return "-"
    return one.facts.mark if one.facts.hangs else f"{one.facts.mark} {one.slowest:.1f}"


def _merged(seen: Sequence[Seen]) -> Iterable[tuple[str, str]]:
    for title in dict.fromkeys(one.title for one in seen):
        texts = {one.client: one.text for one in seen if one.title == title}
        if len(set(texts.values())) == 1:
            yield title, next(iter(texts.values()))
        else:
            yield from ((f"{title}, {client}", text) for client, text in texts.items())


def data_of(matrix: Matrix, expected: Expected) -> Json:
    """Return everything as JSON data: seconds for each user, facts, and what was expected."""
    return {
        "waits": {**asdict(WAITS), "unit": WAITS.unit},
        "cells": [_cell_data(one, expected) for one in matrix.measured],
        "more": [_seen_data(one, expected) for one in matrix.seen],
        "left out": list(matrix.left_out),
    }


def _cell_data(one: Measured, expected: Expected) -> Json:
    cell, facts = one.cell, one.facts
    return {
        "name": cell.name,
        "death": cell.death.value,
        "moment": cell.moment.value,
        "client": cell.client.value,
        "setting": cell.setting.value,
        "errors": list(facts.errors),
        "hangs": facts.hangs,
        "opened": facts.opened,
        "pool": asdict(facts.pool),
        "works": facts.works,
        "seconds": list(one.seconds),
        "bound": one.bound,
        "seen": str(facts),
        "expected": list(expected.get(cell.name, ())),
    }


def _seen_data(one: Seen, expected: Expected) -> Json:
    return {
        "name": one.name,
        "client": one.client.value,
        "seconds": round(one.seconds, 3),
        "seen": one.text,
        "expected": list(expected.get(one.name, ())),
    }


_INTRODUCTION: Final = f"""\
# Pools, measured

What the users of a connection pool meet when its connections die. Measured, not guessed: `lab run pool` measures
every cell and compares it with what is expected (`lab/studies/pool/expected.py`); this page is made from such a run
by `lab run pool --json | python -m lab.studies.pool`, and a test holds it against the expectations.

A cell is a pool of {SIZE} connections behind a proxy of its own, and {USERS} users, one after the other, each with a
transaction. The fault strikes the first one: before its checkout (**idle**), while its pre-ping is under way
(**ping**), between two statements (**in tx**), or when its COMMIT is on its way (**COMMIT**); it strikes all
connections of the pool.

- **FIN**, **RST**: something between closes or resets them; new connections work.
- **black hole**: all that is sent is lost, on new connections too; **refused**: cut, and new ones are refused. Both
  are mended when the first user has come back.
- **restart**: the server is killed, and up again when the application goes on; who pings is back sooner, and meets no
  server.
- **stopped**: the processes behind the connections stand still (SIGSTOP) and stay so; new connections work.

*off* and *on* are SQLAlchemy's defaults without and with `pool_pre_ping`; *resilient* is `lab.db.resilient_engine`,
and for `psycopg sync` `lab.db.resilient_sync_engine`. Errors are counted over all users, by the driver's class
(before it SQLAlchemy's, if that has another name; *raw*: SQLAlchemy has not wrapped it, and `except DBAPIError`
misses it) and SQLSTATE. *opened* counts the connections opened since the fault. Afterwards the pool has 0
connections in use, {SIZE} open and no overflow (written 0/{SIZE}/0), and the last user met no error, unless the
cell says otherwise. **hangs**: the first user had not come back after {ENDLESS:g} s or, where a bound is stated,
within that bound. Two outcomes joined by *or* are two ends of a race. How long each user waited is in the JSON.

What the tables come to:

- Pre-ping saves exactly the users whose connection died while idle, or dies in the ping itself, and only if a new
  one can be had. Nothing saves who is struck in mid-transaction or at COMMIT: that is what retries are for.
- Where nothing answers, pre-ping alone makes nothing better: it waits for ever itself. With a bound it is what
  replaces connections that look alive (*stopped, idle*).
- One death is news for the whole pool (3 opened), except for a statement that outlasts asyncpg's command_timeout
  (*black hole, in tx*: 1 opened). SQLAlchemy replaces its connection, though the server may only be slow (*late, but
  alive*), and leaves the others to their own pings. A COMMIT that is late is news for all (*black hole, COMMIT*): that,
  and that both come as OperationalError, is what `resilient_engine` adds; asyncpg's TimeoutError would come out raw.
- asyncpg's errors at connect come out raw.
- A host that is gone acknowledges nothing (**vanished**; everywhere else some kernel does). Without command_timeout,
  which is out of the way there, only tcp_user_timeout finds out what was sent in vain, and only keepalive that no
  answer to an acknowledged question will ever come. *Hangs* is there no answer within the bound of the look.

The bound of *resilient* is a formula (`lab.db.Waits`): pool_timeout + ping_timeout + connect_timeout + 2 *
command_timeout + 2 * close_timeout, here {WAITS.unit:g} s. No cell of it hangs.
"""


_USUAL: Final = f"; pool 0/{SIZE}/0; works"


def page_of(texts: Mapping[str, Sequence[str]]) -> str:
    """Return the page for what may be seen in each cell; *texts* is by the names of the cells."""
    parts = [_INTRODUCTION]
    for death in Death:
        rows = [row for moment in Moment for client in Client if (row := _row(death, moment, client, texts))]
        parts.append(f"## {death[0].upper()}{death[1:]}\n\n{_table(('moment', 'client', *Setting), rows)}")
    parts.append(f"## More about pools\n\n{_table(('', 'client', 'seen'), list(_looks(texts)))}")
    return "\n".join(parts)


def page_of_data(data: Json) -> str:
    """Return the page of a run from its JSON data; outcomes that were expected are shown with their alternatives."""
    if not isinstance(data, dict):
        raise TypeError("the data of a run of the pool matrix is an object")
    texts: dict[str, list[str]] = {}
    for one in [*_list(data["cells"]), *_list(data["more"])]:
        if isinstance(one, dict):
            known = [str(text) for text in _list(one["expected"])]
            texts[str(one["name"])] = known if one["seen"] in known else [str(one["seen"])]
    return page_of(texts)


def _list(value: Json) -> Sequence[Json]:
    return value if isinstance(value, list) else []


def _row(death: Death, moment: Moment, client: Client, texts: Mapping[str, Sequence[str]]) -> tuple[str, ...] | None:
    found = [texts.get(Cell(death, moment, client, setting).name) for setting in Setting]
    if not any(found):
        return None
    return (moment, client, *(" or ".join(map(_short, text)) if text else "-" for text in found))


def _short(text: str) -> str:
    return text.replace(_USUAL, "").replace("hangs", "**hangs**")


def _looks(texts: Mapping[str, Sequence[str]]) -> Iterable[tuple[str, ...]]:
    cells = {Cell(d, m, c, s).name for d in Death for m in Moment for c in Client for s in Setting}
    for name, text in texts.items():
        if name not in cells:
            title, _, client = name.rpartition(", ")
            yield title, client, " or ".join(text)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    ruler = ["---"] * len(headings)
    return "".join(f"| {' | '.join(row)} |\n" for row in (headings, ruler, *rows))
