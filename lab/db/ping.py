"""A pre-ping that ends: no answer within its bound is a disconnect, and the pool opens another connection."""

from __future__ import annotations

import asyncio
import threading
from typing import Any, Protocol

from sqlalchemy import Dialect

from lab.db.drivers import cut


class _Timer(Protocol):
    def cancel(self) -> object: ...


def bound_ping(dialect: Dialect, seconds: float) -> None:
    """Have the pre-ping of *dialect* take at most *seconds*: the connection is cut then, and counts as lost.

    SQLAlchemy's own pre-ping knows lost connections only. In a black hole it waits for ever, or, with asyncpg's
    command_timeout, raises a TimeoutError that fails the checkout and leaves the rest of the pool as it is.
    """
    ping = dialect.do_ping

    def do_ping(dbapi_connection: Any) -> bool:
        timer = _cut_later(getattr(dbapi_connection, "driver_connection", dbapi_connection), seconds)
        try:
            return ping(dbapi_connection)
        except (TimeoutError, OSError):
            return False
        finally:
            timer.cancel()

    dialect.do_ping = do_ping  # type: ignore[method-assign]


def _cut_later(connection: Any, seconds: float) -> _Timer:
    try:
        return asyncio.get_running_loop().call_later(seconds, cut, connection)
    except RuntimeError:
        timer = threading.Timer(seconds, cut, (connection,))
        timer.daemon = True
        timer.start()
        return timer
