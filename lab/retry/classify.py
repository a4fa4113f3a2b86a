"""What an error means for a retry: pure functions of the error and the phase in which it struck.

The phase is needed because SQLSTATE 08003 is identical whether a lost COMMIT was applied or not: only the caller knows
what it had asked for. Never dispatch on the SQLAlchemy class either: 40001 is a bare DBAPIError with asyncpg and an
OperationalError with psycopg.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm.exc import StaleDataError

from lab.db.errors import ConnectTimedOut
from lab.retry._signs import cause_of, is_connection_loss, is_never_sent, is_stale_plan, links, members, sqlstate


class Phase(enum.Enum):
    """What a transaction had asked for when an error struck."""

    CONNECT = "connect"  # checkout from the pool, ping, connect
    STATEMENT = "statement"  # in the transaction, COMMIT not asked
    COMMIT = "commit"  # COMMIT, or RELEASE of CockroachDB's restart savepoint, was asked
    AUTOCOMMIT = "autocommit"  # a statement that is its own transaction


class Decision(enum.Enum):
    """What a policy may do after an error."""

    RETRY = "retry"  # the whole transaction, with a fresh session
    RETRY_LATER = "retry later"  # transient, but wants longer waits
    RETRY_ONCE = "retry once"  # a second time the same would fail for good
    UNKNOWN = "unknown"  # the transaction may have been applied
    JUDGEMENT = "judgement"  # a budget decides
    NEVER = "never"  # would fail again, or is not ours to catch


# CockroachDB's code for errors that nobody has given one: a node that could not reach another is among them.
_UNCATEGORISED = "XXUUU"

_BY_STATE: Mapping[str, Decision] = {
    "40001": Decision.RETRY,
    "40P01": Decision.RETRY,
    "40003": Decision.UNKNOWN,
    "08007": Decision.UNKNOWN,
    "57P03": Decision.RETRY_LATER,
    "53300": Decision.RETRY_LATER,
    "57014": Decision.JUDGEMENT,
    "55P03": Decision.JUDGEMENT,
    "58C00": Decision.JUDGEMENT,
    "58C01": Decision.JUDGEMENT,
    _UNCATEGORISED: Decision.JUDGEMENT,
}

_AFTER_LOSS: Mapping[Phase, Decision] = {
    Phase.CONNECT: Decision.RETRY_LATER,
    Phase.STATEMENT: Decision.RETRY,
    Phase.COMMIT: Decision.UNKNOWN,
    Phase.AUTOCOMMIT: Decision.UNKNOWN,
}

# Of several errors in a group the most careful answer counts.
_CAREFUL = (
    Decision.UNKNOWN,
    Decision.NEVER,
    Decision.JUDGEMENT,
    Decision.RETRY_ONCE,
    Decision.RETRY_LATER,
    Decision.RETRY,
)

_REASONS: Mapping[Decision, str] = {
    Decision.RETRY: "the transaction was certainly not applied and a fresh one can succeed",
    Decision.RETRY_LATER: "nothing was sent; the database does not take connections just now",
    Decision.RETRY_ONCE: "a cached plan was stale; it has been dropped",
    Decision.UNKNOWN: "the transaction may or may not have been applied",
    Decision.JUDGEMENT: "it was certainly not applied, but may well fail in the same way again",
    Decision.NEVER: "the same would happen again",
}


def classify(error: BaseException, phase: Phase) -> Decision:
    """Return what a policy may do after *error* struck in *phase*; of an exception group, the most careful answer.

    Understands errors of asyncpg and psycopg, raw, wrapped by SQLAlchemy, or as the explicit cause of another error.
    """
    if isinstance(error, BaseExceptionGroup):
        return min((classify(member, phase) for member in members(error)), key=_CAREFUL.index)
    if not isinstance(error, Exception) or _any(tuple(links(error)), PoolTimeout):
        return Decision.NEVER
    if isinstance(error, PendingRollbackError):
        return _after_pending_rollback(error, phase)
    return _by_state(error, phase) or _by_kind(error, phase)


def explain(error: BaseException, phase: Phase) -> str:
    """Return one sentence: what struck, when, and what may be done about it, for a person."""
    decision = classify(error, phase)
    state = sqlstate(error)
    name = f"{type(error).__name__} (SQLSTATE {state})" if state else type(error).__name__
    return f"{name} in phase {phase.value}: {decision.value}, because {_REASONS[decision]}."


def is_key_violation(error: BaseException) -> bool:
    """Tell whether *error* is the 23505 of the idempotency key itself: the unit is already applied."""
    if sqlstate(error) != "23505":
        return False
    places = (getattr(link, "diag", link) for link in links(error))
    return any("idempotency_keys" in (getattr(place, "constraint_name", None) or "") for place in places)


def _by_state(error: Exception, phase: Phase) -> Decision | None:
    state = sqlstate(error)
    if state == _UNCATEGORISED and phase in (Phase.COMMIT, Phase.AUTOCOMMIT):
        return Decision.UNKNOWN
    if state == "0A000":
        return Decision.RETRY_ONCE if is_stale_plan(error) else Decision.NEVER
    if state is None or state in _BY_STATE:
        return _BY_STATE.get(state or "")
    return None if is_connection_loss(error) else Decision.NEVER


def _by_kind(error: Exception, phase: Phase) -> Decision:
    chain = tuple(links(error))
    if is_never_sent(error) or _any(chain, StaleDataError):
        return Decision.RETRY
    if _any(chain, ConnectTimedOut, ConnectionRefusedError) and phase is not Phase.COMMIT:
        return Decision.RETRY_LATER
    if is_connection_loss(error) or _any(chain, TimeoutError):
        return _AFTER_LOSS[phase]
    if phase is Phase.COMMIT and _any(chain, DBAPIError):
        return Decision.UNKNOWN  # the driver failed with no word from the server: nobody knows
    return Decision.NEVER


def _any(chain: tuple[BaseException, ...], *kinds: type[BaseException]) -> bool:
    return any(isinstance(link, kinds) for link in chain)


def _after_pending_rollback(error: PendingRollbackError, phase: Phase) -> Decision:
    # SQLAlchemy refused by itself: COMMIT was not sent. What counts is why the transaction was already broken.
    before = Phase.STATEMENT if phase is Phase.COMMIT else phase
    cause = cause_of(error)
    if cause is not None:
        return classify(cause, before)
    return _AFTER_LOSS[before] if is_connection_loss(error) else Decision.NEVER
