"""Keeping the drivers' complaints to themselves, where lost connections are the point."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_drivers() -> Iterator[None]:
    """Keep the drivers' complaints about lost connections, which are the point here, from standard error."""
    mute = logging.NullHandler()
    loggers = [logging.getLogger(name) for name in ("psycopg", "sqlalchemy")]
    for logger in loggers:
        logger.addHandler(mute)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(mute)
