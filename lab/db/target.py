"""Where an application's database is, as a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Dialect = Literal["postgresql", "cockroachdb"]
Tls = Literal["disable", "prefer", "require"]


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address that speaks the PostgreSQL protocol."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Target:
    """A database behind one or more *addresses* (a gateway or node each); *tls* as libpq's sslmode names it.

    *refuses* names start-up settings that the server does not take: an engine leaves them out. Credentials of a
    *private* target are the user's own, and never shown. *schema*: where sessions find tables, if not in the usual one.
    """

    dialect: Dialect
    addresses: tuple[Address, ...]
    user: str
    password: str = field(repr=False)
    database: str
    tls: Tls = "disable"
    refuses: frozenset[str] = frozenset()
    private: bool = False
    schema: str | None = None

    def __post_init__(self) -> None:
        if not self.addresses:
            raise ValueError("a target needs at least one address")
