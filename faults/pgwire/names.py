"""What prepared statements and portals of a session are called."""

from __future__ import annotations

from typing import Final

MOST_NAMES: Final = 10_000
"""Prepared statements or portals of one session that are remembered."""

MOST_TEXT: Final = 4 * 1024 * 1024
"""Characters of them all; beyond that the oldest are forgotten."""


class Names:
    """SQL by the name of a prepared statement or portal; bounded, the oldest make room."""

    def __init__(self) -> None:
        self._sql: dict[bytes, str] = {}
        self._size = 0

    def get(self, name: bytes) -> str:
        """Return the SQL, empty for a name that is not known."""
        return self._sql.get(name, "")

    def put(self, name: bytes, sql: str) -> None:
        """Remember a name."""
        if self._sql.get(name) is sql:
            return
        self.drop(name)
        self._sql[name] = sql
        self._size += len(sql) + len(name)
        while len(self._sql) > MOST_NAMES or self._size > MOST_TEXT:
            self.drop(next(iter(self._sql)))

    def drop(self, name: bytes) -> None:
        """Forget a name."""
        if name in self._sql:
            self._size -= len(self._sql.pop(name)) + len(name)
