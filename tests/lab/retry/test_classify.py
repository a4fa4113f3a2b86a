"""The decision table, without a database: errors as drivers and SQLAlchemy build them."""

from __future__ import annotations

import asyncio

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from lab.db import Address, ConnectTimedOut
from lab.retry import Decision, Phase, classify, explain, sqlstate

RETRY, LATER, ONCE = Decision.RETRY, Decision.RETRY_LATER, Decision.RETRY_ONCE
UNKNOWN, JUDGEMENT, NEVER = Decision.UNKNOWN, Decision.JUDGEMENT, Decision.NEVER
CONNECT, STATEMENT, COMMIT, AUTOCOMMIT = Phase.CONNECT, Phase.STATEMENT, Phase.COMMIT, Phase.AUTOCOMMIT


class Answer(Exception):
    """An error with a SQLSTATE, as a server's answer; drivers' own classes exist for most states but not for all."""

    def __init__(self, sqlstate: str, text: str = "") -> None:
        super().__init__(text)
        self.sqlstate = sqlstate


def wrapped(error: Exception, *, invalidated: bool = False) -> DBAPIError:
    """*error* as SQLAlchemy would wrap it."""
    return DBAPIError("SELECT 1", None, error, connection_invalidated=invalidated)


# Expected decisions in the order CONNECT, STATEMENT, COMMIT, AUTOCOMMIT.
BY_STATE = {
    "40001": (RETRY, RETRY, RETRY, RETRY),
    "40P01": (RETRY, RETRY, RETRY, RETRY),
    "40003": (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    "08000": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "08003": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "08006": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "08007": (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN),
    "57P01": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "57P02": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "25P03": (LATER, RETRY, UNKNOWN, UNKNOWN),
    "57P03": (LATER, LATER, LATER, LATER),
    "53300": (LATER, LATER, LATER, LATER),
    "57014": (JUDGEMENT, JUDGEMENT, JUDGEMENT, JUDGEMENT),
    "55P03": (JUDGEMENT, JUDGEMENT, JUDGEMENT, JUDGEMENT),
    "58C00": (JUDGEMENT, JUDGEMENT, JUDGEMENT, JUDGEMENT),
    "58C01": (JUDGEMENT, JUDGEMENT, JUDGEMENT, JUDGEMENT),
    "0A000": (NEVER, NEVER, NEVER, NEVER),
    "23505": (NEVER, NEVER, NEVER, NEVER),
    "23514": (NEVER, NEVER, NEVER, NEVER),
    "25P02": (NEVER, NEVER, NEVER, NEVER),
    "28P01": (NEVER, NEVER, NEVER, NEVER),
    "42601": (NEVER, NEVER, NEVER, NEVER),
    "42P01": (NEVER, NEVER, NEVER, NEVER),
    "55000": (NEVER, NEVER, NEVER, NEVER),
    "XXA00": (NEVER, NEVER, NEVER, NEVER),
}


@pytest.mark.parametrize(("state", "expected"), BY_STATE.items())
@pytest.mark.parametrize("shape", ["raw", "wrapped", "cause", "group"])
def test_the_table_of_states_holds_in_every_shape(state: str, expected: tuple[Decision, ...], shape: str) -> None:
    error: Exception = Answer(state)
    if shape == "wrapped":
        error = wrapped(error)
    elif shape == "group":
        error = ExceptionGroup("work", [ExceptionGroup("inner", [error])])
    elif shape == "cause":
        error = caused_by(RuntimeError("mine"), error)
    assert tuple(classify(error, phase) for phase in Phase) == expected


def caused_by(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


INTERFACE = asyncpg.InterfaceError("connection is closed")
NOT_SENT = asyncpg.InterfaceError("cannot call Transaction.commit(): the underlying connection is closed")
BY_KIND = [
    (ConnectionRefusedError(), (LATER, LATER, UNKNOWN, LATER)),
    (ConnectTimedOut(Address("h", 1), 1.0), (LATER, LATER, UNKNOWN, LATER)),
    (ConnectionResetError(), (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (TimeoutError(), (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (INTERFACE, (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (wrapped(Exception("?"), invalidated=True), (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (caused_by(asyncpg.InterfaceError("?"), ConnectionResetError()), (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (wrapped(psycopg.OperationalError("server closed the connection")), (LATER, RETRY, UNKNOWN, UNKNOWN)),
    (wrapped(NOT_SENT), (RETRY, RETRY, RETRY, RETRY)),
    (wrapped(NOT_SENT, invalidated=True), (RETRY, RETRY, RETRY, RETRY)),
    (wrapped(Exception("driver in disorder")), (NEVER, NEVER, UNKNOWN, NEVER)),
    (PoolTimeout(), (NEVER, NEVER, NEVER, NEVER)),
    (StaleDataError(), (RETRY, RETRY, RETRY, RETRY)),
    (FileNotFoundError(), (NEVER, NEVER, NEVER, NEVER)),
    (ValueError(), (NEVER, NEVER, NEVER, NEVER)),
    (asyncio.CancelledError(), (NEVER, NEVER, NEVER, NEVER)),
    (KeyboardInterrupt(), (NEVER, NEVER, NEVER, NEVER)),
    (BaseExceptionGroup("g", [asyncio.CancelledError(), Answer("40001")]), (NEVER, NEVER, NEVER, NEVER)),
    (ExceptionGroup("g", [Answer("40001"), Answer("23505")]), (NEVER, NEVER, NEVER, NEVER)),
    (ExceptionGroup("g", [Answer("40001"), Answer("53300")]), (LATER, LATER, LATER, LATER)),
    (ExceptionGroup("g", [Answer("40003"), Answer("23505")]), (UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN)),
    (Answer("0A000", "cached plan must not change result type"), (ONCE, ONCE, ONCE, ONCE)),
    (asyncpg.InvalidCachedStatementError("?"), (ONCE, ONCE, ONCE, ONCE)),
    (PendingRollbackError("mine"), (NEVER, NEVER, NEVER, NEVER)),
    (caused_by(PendingRollbackError("?"), Answer("40001")), (RETRY, RETRY, RETRY, RETRY)),
    (caused_by(PendingRollbackError("?"), Answer("08003")), (LATER, RETRY, RETRY, UNKNOWN)),
    (PendingRollbackError("Can't reconnect until invalid transaction is rolled back."), (LATER, RETRY, RETRY, UNKNOWN)),
]


@pytest.mark.parametrize(("error", "expected"), BY_KIND, ids=[repr(error)[:60] for error, _ in BY_KIND])
def test_errors_without_a_state_are_told_by_their_kind(error: BaseException, expected: tuple[Decision, ...]) -> None:
    assert tuple(classify(error, phase) for phase in Phase) == expected


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("connection failed: FATAL:  sorry, too many clients already", "53300"),
        ("connection failed: FATAL:  the database system is starting up", "57P03"),
        ('connection failed: FATAL:  password authentication failed for user "x"', "28P01"),
        ('connection failed: FATAL:  database "x" does not exist', "3D000"),
        ("connection failed: Connection refused", None),
        ('relation "x" does not exist', None),
    ],
)
def test_the_state_of_a_refused_start_up_is_read_from_psycopgs_text(text: str, state: str | None) -> None:
    assert sqlstate(wrapped(psycopg.OperationalError(text))) == state


def test_a_chain_of_causes_that_bites_its_tail_ends() -> None:
    error = ValueError()
    error.__cause__ = caused_by(KeyError(), error)
    assert classify(error, STATEMENT) is NEVER


def test_an_error_handled_by_the_application_on_the_way_does_not_count() -> None:
    error = ValueError()
    error.__context__ = Answer("40001")
    assert classify(error, STATEMENT) is NEVER


def test_the_explanation_is_one_sentence_with_state_phase_and_decision() -> None:
    said = explain(wrapped(Answer("08003")), COMMIT)
    assert said.count(".") == 1
    assert {"DBAPIError", "(SQLSTATE", "08003)", "commit:", "unknown,"} <= set(said.split())
