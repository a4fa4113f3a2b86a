"""Databases seen from the application: targets, engines, typed models."""

from lab.db.engine import application_engine, resilient_engine, resilient_sync_engine, session_factory
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
    "application_engine",
    "create_tables",
    "drop_tables",
    "resilient_engine",
    "resilient_sync_engine",
    "session_factory",
    "table_of",
]
