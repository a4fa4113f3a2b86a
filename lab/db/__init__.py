"""Databases seen from the application: targets, engines, typed models."""

from lab.db.engine import application_engine, session_factory
from lab.db.errors import ConnectTimedOut
from lab.db.models import Base, IdempotencyKey
from lab.db.schema import create_tables, drop_tables, table_of
from lab.db.target import Address, Target

__all__ = [
    "Address",
    "Base",
    "ConnectTimedOut",
    "IdempotencyKey",
    "Target",
    "application_engine",
    "create_tables",
    "drop_tables",
    "session_factory",
    "table_of",
]
