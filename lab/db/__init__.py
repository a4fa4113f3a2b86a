"""Databases seen from the application: targets, engines, typed models."""

from lab.db.engine import resilient_engine, resilient_sync_engine, session_factory
from lab.db.errors import ConnectTimedOut
from lab.db.models import Base, IdempotencyKey
from lab.db.schema import create_tables, drop_tables, table_of
from lab.db.target import Address, Target
from lab.db.waits import Waits

__all__ = [
    "Address",
    "Base",
    "ConnectTimedOut",
    "IdempotencyKey",
    "Target",
    "Waits",
    "create_tables",
    "drop_tables",
    "resilient_engine",
    "resilient_sync_engine",
    "session_factory",
    "table_of",
]
