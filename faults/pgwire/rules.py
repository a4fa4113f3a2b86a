"""Rules: where, at which moment, what to do, and how often. Values; whether one matches is a pure question."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeAlias

from faults.errors import BadRequest
from faults.pgwire.session import CONNECT, Statement

Moment: TypeAlias = Literal["request", "reply"]
Action: TypeAlias = Literal["reset", "close", "black_hole", "delay", "error", "hold"]

MOMENTS: Final[tuple[Moment, ...]] = ("request", "reply")
ACTIONS: Final[tuple[Action, ...]] = ("reset", "close", "black_hole", "delay", "error", "hold")

FATAL: Final = ("57P01", "57P02", "57P03", "57P05", "53300", "28000", "28P01", "3D000")
"""SQLSTATEs with which a server ends the session."""

DAY: Final = 86_400.0
_SQLSTATE = re.compile(r"[0-9A-Z]{5}")


@dataclass(frozen=True, slots=True)
class Where:
    """Which statements: all that is given must hold. *proxy* and *application_name* may use * as in file names.

    *statement* is a command such as COMMIT, or CONNECT for the start of a session; *sql* a regular expression that is
    searched in the text without regard to case.
    """

    proxy: str = "*"
    application_name: str = "*"
    statement: str | None = None
    sql: str | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """What to do at a moment of the matching statements.

    The first *skip* matches are let go, then *times* are met (0: all), each with *probability* drawn from *seed*; after
    *ttl* seconds (0: never) the rule is gone. *seconds* is for delay, *sqlstate* and *text* are for error.
    """

    name: str
    moment: Moment
    action: Action
    where: Where = field(default_factory=Where)
    seconds: float = 0.0
    sqlstate: str | None = None
    text: str = "injected by the resilience lab"
    times: int = 1
    skip: int = 0
    probability: float = 1.0
    seed: int = 0
    ttl: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what makes no sense, with the choices."""
        choice("moment", self.moment, MOMENTS)
        choice("action", self.action, ACTIONS)
        if (self.action == "error") != (self.sqlstate is not None):
            raise BadRequest("action 'error' needs a 'sqlstate', and no other action takes one")
        if self.sqlstate is not None and (not _SQLSTATE.fullmatch(self.sqlstate) or self.sqlstate[:2] in ("00", "01")):
            raise BadRequest(f"sqlstate '{self.sqlstate}' is none: five digits or capitals, such as 40001 or 57P01")
        if (self.action == "delay") != (self.seconds > 0):
            raise BadRequest("action 'delay' needs 'seconds' above 0, and no other action takes them")
        if self.where.statement == CONNECT and self.moment == "reply":
            raise BadRequest("CONNECT has no reply of its own: its moment is 'request'")
        if not self.name or "/" in self.name or len(self.name) > 200:
            raise BadRequest(f"a rule's name has 1 to 200 characters and no '/', not '{self.name:.60}'")
        if "\0" in self.text:
            raise BadRequest("'text' may hold no NUL: it travels in a message that ends with one")
        _bounded(self)
        pattern_of(self.where.sql)

    @property
    def fatal(self) -> bool:
        """Whether its error ends the session."""
        return self.sqlstate in FATAL

    @property
    def fails(self) -> bool:
        """Whether it makes a statement fail, in a session that goes on."""
        return self.action == "error" and not self.fatal

    def can_strike(self, status: str) -> bool:
        """Whether it makes sense in a transaction's *status*: one that has failed already cannot be failed again."""
        return status != "E" or self.action != "error" or self.fatal

    def matches(self, proxy: str, application_name: str, statement: Statement) -> bool:
        """Whether it is about this statement, whatever the state of its transaction."""
        where = self.where
        if statement.kind == CONNECT and where.statement != CONNECT:
            return False
        if where.statement is not None and where.statement != statement.kind:
            return False
        if where.proxy != "*" and not glob(where.proxy, proxy):
            return False
        if where.application_name != "*" and not glob(where.application_name, application_name):
            return False
        return where.sql is None or pattern_of(where.sql).search(statement.sql) is not None


def choice(what: str, given: str, choices: tuple[str, ...]) -> str:
    """Return *given* if it is one of *choices*; else raise BadRequest with the nearest, and all."""
    if given not in choices:
        near = difflib.get_close_matches(str(given), choices, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise BadRequest(f"unknown {what} '{given}': {hint}known: {', '.join(choices)}")
    return given


def _bounded(rule: Rule) -> None:
    for name, least, most in (
        ("seconds", 0, DAY),
        ("ttl", 0, DAY),
        ("times", 0, 2**31),
        ("skip", 0, 2**31),
        ("probability", 0, 1),
    ):
        if not least <= getattr(rule, name) <= most:
            raise BadRequest(f"'{name}' must be from {least} to {most:g}, not {getattr(rule, name)}")


@lru_cache(maxsize=1024)
def pattern_of(sql: str | None) -> re.Pattern[str]:
    """Return the compiled pattern; raise BadRequest for one that is no regular expression."""
    try:
        return re.compile(sql or "", re.IGNORECASE | re.DOTALL)
    except re.error as error:
        raise BadRequest(f"sql pattern '{sql}': {error}") from error


@lru_cache(maxsize=4096)
def glob(pattern: str, name: str) -> bool:
    """Whether *name* is *pattern*, in which * stands for anything."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name, re.DOTALL) is not None


# --- ready-made rules -------------------------------------------------------------------------------------------------

COMMIT: Final = Where(statement="COMMIT")


def lost_request() -> Rule:
    """COMMIT never reaches the server; the client sees its connection die. Not applied."""
    return Rule("lost_request", "request", "reset", COMMIT)


def lost_ack() -> Rule:
    """COMMIT is executed and its acknowledgement is lost; the client sees the very same. Applied."""
    return Rule("lost_ack", "reply", "reset", COMMIT)


def serialization_failure() -> Rule:
    """A statement fails with 40001, and its transaction with it."""
    where = Where(sql=r"^\s*(select|insert|update|delete|with)\b")
    text = "restart transaction: injected serialization failure"
    return Rule("serialization_failure", "request", "error", where, sqlstate="40001", text=text)


def serialization_failure_at_commit() -> Rule:
    """COMMIT fails with 40001. Not applied."""
    text = "restart transaction: injected serialization failure at COMMIT"
    return Rule("serialization_failure_at_commit", "request", "error", COMMIT, sqlstate="40001", text=text)


def ambiguous_result() -> Rule:
    """COMMIT is executed, and the client is told 40003. Applied; with the moment 'request' it is not."""
    text = "result is ambiguous: injected"
    return Rule("ambiguous_result", "reply", "error", COMMIT, sqlstate="40003", text=text)


def admin_shutdown() -> Rule:
    """The next statement is answered by 57P01 and the end of the session."""
    text = "terminating connection due to administrator command"
    return Rule("admin_shutdown", "request", "error", sqlstate="57P01", text=text)


def too_many_connections() -> Rule:
    """A new session is refused with 53300."""
    where = Where(statement=CONNECT)
    text = "sorry, too many clients already"
    return Rule("too_many_connections", "request", "error", where, sqlstate="53300", text=text)


PRESETS: Final[dict[str, Callable[[], Rule]]] = {
    preset.__name__: preset
    for preset in (
        lost_request,
        lost_ack,
        serialization_failure,
        serialization_failure_at_commit,
        ambiguous_result,
        admin_shutdown,
        too_many_connections,
    )
}
"""Rules by name; to add one, write its function and name it here."""


def rule_to_json(rule: Rule) -> dict[str, object]:
    """Return a rule as the control API takes and shows it."""
    return asdict(rule)
