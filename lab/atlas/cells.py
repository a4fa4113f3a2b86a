"""The cells of the atlas as data: which fault, at which moment, seen through which driver."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from faults.pgwire.rules import Action, Rule, Where
from faults.pgwire.rules import Moment as Side
from lab.db.drivers import Driver

DRIVERS: Final[tuple[Driver, ...]] = ("asyncpg", "psycopg")

EFFECTS: Final = "lab_atlas_effects"
"""Table of the effects: one row for each unit that was applied."""


class Moment(enum.StrEnum):
    """When a fault strikes, in the order in which a unit of work meets them."""

    CONNECT = "connect"
    POOL = "pool"
    IDLE = "idle, no ping"
    PING = "idle, ping"
    BEGIN = "BEGIN"
    STATEMENT = "statement request"
    STATEMENT_REPLY = "statement reply"
    NEXT = "next statement"
    COMMIT = "COMMIT request"
    COMMIT_REPLY = "COMMIT reply"
    AUTOCOMMIT = "autocommit request"
    AUTOCOMMIT_REPLY = "autocommit reply"

    @property
    def reply(self) -> bool:
        """Whether the server has done what was asked by then."""
        return self.value.endswith("reply")

    @property
    def autocommit(self) -> bool:
        """Whether the statement is its own transaction."""
        return self.value.startswith("autocommit")


class Trouble(enum.StrEnum):
    """What is no rule of the wire: it is brought about by other means."""

    REFUSED = "refused"
    KILLED = "backend killed"
    CUT = "connection reset"
    EXHAUSTED = "pool exhausted"
    STALE_PLAN = "schema changed under a cached plan"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens. *sqlstate* and *text* are for the action error; *trouble* says that no rule is involved.

    *ignored*: the application goes on as if nothing had been, and the cell is what it meets at the next statement.
    """

    name: str
    action: Action = "error"
    sqlstate: str | None = None
    text: str = "injected by the resilience lab"
    trouble: Trouble | None = None
    ignored: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """One fault at one moment through one driver."""

    fault: Fault
    moment: Moment
    driver: Driver

    @property
    def name(self) -> str:
        """Its name in failures of tests."""
        return f"{self.fault.name} at {self.moment} with {self.driver}"

    def rule(self, name: str) -> Rule:
        """Return the rule that strikes the one statement of the session *name*; the rule has this name as well."""
        side: Side = "reply" if self.moment.reply else "request"
        where = _WHERE.get(self.moment, Where(statement="INSERT", sql=EFFECTS))
        place = Where(application_name=f"{name}-*", statement=where.statement, sql=where.sql)
        return Rule(name, side, self.fault.action, place, sqlstate=self.fault.sqlstate, text=self.fault.text)


_WHERE: Final[Mapping[Moment, Where]] = {
    Moment.CONNECT: Where(statement="CONNECT"),
    Moment.PING: Where(),
    Moment.BEGIN: Where(statement="BEGIN"),
    Moment.COMMIT: Where(statement="COMMIT"),
    Moment.COMMIT_REPLY: Where(statement="COMMIT"),
}

RESET: Final = Fault("reset", "reset")
CLOSE: Final = Fault("close (FIN)", "close")
BLACK_HOLE: Final = Fault("black hole", "black_hole")
TOO_SLOW: Final = Fault("slower than command_timeout", "hold")
LOSSES: Final = (RESET, CLOSE, BLACK_HOLE)


# The server's own words: of a refused start-up they are all that psycopg keeps.
_TEXTS: Final[Mapping[str, str]] = {
    "53300": "sorry, too many clients already",
    "57P03": "the database system is starting up",
    "57P01": "terminating connection due to administrator command",
    "28P01": 'password authentication failed for user "app"',
}


def state(sqlstate: str) -> Fault:
    """Return the fault that answers with a SQLSTATE."""
    return Fault(sqlstate, "error", sqlstate, _TEXTS.get(sqlstate, "injected by the resilience lab"))


def other(trouble: Trouble) -> Fault:
    """Return the fault that is no rule."""
    return Fault(trouble.value, trouble=trouble)


# At a reply, when the server has done it, only those that may come although it is done.
_DOUBTFUL: Final = tuple(map(state, ("40003", "08006", "08007", "57P01")))
_STATEMENT: Final = tuple(map(state, ("40001", "40003", "40P01", "55P03", "57014", "08006", "57P01", "23505", "42601")))
_COMMIT: Final = tuple(map(state, ("40001", "40003", "40P01", "57014", "08006", "08007", "57P01", "23505")))

FAULTS: Final[Mapping[Moment, tuple[Fault, ...]]] = {
    Moment.CONNECT: (other(Trouble.REFUSED), *LOSSES, *map(state, ("53300", "57P03", "57P01", "28P01"))),
    Moment.POOL: (other(Trouble.EXHAUSTED),),
    Moment.IDLE: (other(Trouble.KILLED), other(Trouble.CUT)),
    Moment.PING: (other(Trouble.KILLED), other(Trouble.CUT), *LOSSES, state("57P01")),
    Moment.BEGIN: (*LOSSES, state("57P01")),
    Moment.STATEMENT: (*LOSSES, TOO_SLOW, *_STATEMENT, other(Trouble.STALE_PLAN)),
    Moment.STATEMENT_REPLY: (*LOSSES, TOO_SLOW, state("40001"), state("57P01")),
    Moment.NEXT: (
        Fault("after 40001, ignored", "error", "40001", ignored=True),
        Fault("after a reset, ignored", "reset", ignored=True),
    ),
    Moment.COMMIT: (*LOSSES, TOO_SLOW, *_COMMIT),
    Moment.COMMIT_REPLY: (*LOSSES, TOO_SLOW, *_DOUBTFUL),
    Moment.AUTOCOMMIT: (*LOSSES, TOO_SLOW, *_STATEMENT),
    Moment.AUTOCOMMIT_REPLY: (*LOSSES, TOO_SLOW, *_DOUBTFUL),
}


def all_cells() -> tuple[Cell, ...]:
    """Return every cell, in the order of the document."""
    return tuple(_cells())


def _cells() -> Iterable[Cell]:
    for moment, faults in FAULTS.items():
        for fault in faults:
            for driver in DRIVERS:
                yield Cell(fault, moment, driver)
