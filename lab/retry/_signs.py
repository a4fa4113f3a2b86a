"""The signs by which errors of asyncpg, psycopg and SQLAlchemy are recognised; measured, not guessed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import psycopg
from sqlalchemy.exc import PendingRollbackError

MAX_CHAIN = 16  # errors followed from cause to cause; longer chains are cut, cycles end

# Sent or noticed when a connection ends: all of 08, the shutdowns, and the server's own idle time-outs.
LOSS_STATES = frozenset({"57P01", "57P02", "57P05", "25P03"})

# psycopg keeps no SQLSTATE of a refused start-up; libpq leaves only the server's text.
_START_UP_TEXTS = {
    "too many clients already": "53300",
    "remaining connection slots are reserved": "53300",
    "too many connections": "53300",
    "the database system is": "57P03",
    "is not accepting clients": "57P01",
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    "does not exist": "3D000",
}

_LOSS_TEXTS = (
    "connection is closed",
    "connection was closed",
    "underlying connection is closed",
    "connection has been released",
    "Can't reconnect until invalid transaction",
)


def links(error: BaseException) -> Iterator[BaseException]:
    """Yield *error*, what SQLAlchemy wrapped in it, and its explicit causes, nearest first."""
    return islice(_chain(error), MAX_CHAIN)


def members(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    """Yield the errors of *group* and of the groups within it."""
    for member in group.exceptions:
        if isinstance(member, BaseExceptionGroup):
            yield from members(member)
        else:
            yield member


def cause_of(error: BaseException) -> BaseException | None:
    """Return what *error* was raised from, or else while handling what."""
    return error.__cause__ or error.__context__


def sqlstate(error: BaseException) -> str | None:
    """Return the five-character SQLSTATE of *error* or of what it was raised from; None if there is none to be had.

    For psycopg's refused start-ups it is derived from the server's (English) text.
    """
    for link in links(error):
        state = getattr(link, "sqlstate", None)
        if isinstance(state, str):
            return state
    return next((state for link in links(error) if (state := _start_up_state(link))), None)


def is_connection_loss(error: BaseException) -> bool:
    """Tell whether the connection ended, however the driver or SQLAlchemy said it."""
    return any(_is_loss(link) for link in links(error))


def is_never_sent(error: BaseException) -> bool:
    """Tell whether asyncpg refused COMMIT by itself: the connection was known to be gone before it was sent."""
    return any("cannot call Transaction.commit()" in str(link) for link in links(error))


def is_stale_plan(error: BaseException) -> bool:
    """Tell whether a 0A000 comes from a cached plan whose schema has changed."""
    texts = [f"{type(link).__name__} {link}" for link in links(error)]
    return any("InvalidCachedStatement" in text or "cached plan must not change" in text for text in texts)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        inner = getattr(error, "orig", None)
        error = inner if isinstance(inner, BaseException) else error.__cause__


def _start_up_state(link: BaseException) -> str | None:
    if not isinstance(link, psycopg.OperationalError):
        return None
    text = str(link)
    return next((state for sign, state in _START_UP_TEXTS.items() if "FATAL" in text and sign in text), None)


def _is_loss(link: BaseException) -> bool:
    if getattr(link, "connection_invalidated", False) or isinstance(link, ConnectionError):
        return True
    state = getattr(link, "sqlstate", None) or _start_up_state(link)
    if state is not None:
        return state.startswith("08") or state in LOSS_STATES
    return isinstance(link, psycopg.OperationalError) or _says_closed(link)


def _says_closed(link: BaseException) -> bool:
    own = isinstance(link, PendingRollbackError) or type(link).__name__ == "InterfaceError"
    return own and any(text in str(link) for text in _LOSS_TEXTS)
