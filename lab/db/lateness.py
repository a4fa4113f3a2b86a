"""What asyncpg's command_timeout raises: a bare TimeoutError, to SQLAlchemy no error of the driver."""

from __future__ import annotations

from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError


def tell_late_commands(engine: Engine) -> None:
    """Have a command's time-out come as OperationalError, and a late COMMIT or ROLLBACK be news for the whole pool.

    SQLAlchemy takes a TimeoutError for a cancellation: the connection is replaced, whether its server is dead or slow,
    and the others are left as they are. That is right for a statement, which may be slow by itself. COMMIT and ROLLBACK
    are not: without news each other connection to that server would cost its user a ping without an answer.
    """
    event.listen(engine, "handle_error", _tell)


def _tell(context: ExceptionContext) -> OperationalError | None:
    error = context.original_exception
    if not isinstance(error, TimeoutError) or context.sqlalchemy_exception is not None or context.connection is None:
        return None
    context.is_disconnect = True
    if context.statement is None:
        context.invalidate_pool_on_disconnect = True
    return OperationalError(context.statement, context.parameters, error, connection_invalidated=True)
