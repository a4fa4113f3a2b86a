"""Addresses as users write them; what is wrong with one is told without repeating it, for it may hold a password."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict

from lab.db.target import Address, Target, Tls
from lab.errors import UsageError

SHAPE: Final = "postgresql://user:password@host:port/database"

TLS: Final[dict[str, Tls]] = {"disable": "disable", "allow": "disable", "prefer": "disable"}
"""What a gateway can do with each sslmode: it follows the conversation, so it has to be in clear."""

HIGHEST_PORT: Final = 65_535

SCHEMES: Final = ("cockroachdb", "cockroach", "postgres", "postgresql")


def read_dsns(dsns: tuple[str, ...]) -> Target:
    """Return where *dsns* lead: one for each node, or one with several hosts, all with one user and one database.

    Raises UsageError, which never repeats a DSN, if there is none or if one cannot be used.
    """
    if not dsns:
        raise UsageError(
            "the cluster 'external' needs its addresses: --dsn postgresql://user:password@host:port/database"
        )
    read = [_read(dsn, f"DSN {number}") for number, dsn in enumerate(dsns, 1)]
    for number, target in enumerate(read, 1):
        if replace(target, addresses=read[0].addresses) != read[0]:
            raise UsageError(f"DSN {number} differs from the first in more than its address: they must be one database")
    return replace(read[0], addresses=tuple(address for target in read for address in target.addresses))


def _read(dsn: str, which: str) -> Target:
    scheme, colon, rest = dsn.partition("://")
    if not colon or scheme.partition("+")[0] not in SCHEMES:
        raise UsageError(f"{which} is none: write {SHAPE}")
    try:
        given = conninfo_to_dict(f"postgresql://{rest}")
    except psycopg.Error:
        raise UsageError(f"{which} cannot be read: write {SHAPE}") from None
    parts = {name: str(value) for name, value in given.items() if value is not None}
    if "host" not in parts or "user" not in parts:
        raise UsageError(f"{which} names no {'user' if 'host' in parts else 'host'}")
    mode = parts.get("sslmode", "prefer")
    if mode not in TLS:
        raise UsageError(
            f"{which} asks for sslmode={mode}: a gateway follows the conversation, which has to be in clear; "
            "use sslmode=disable on a network that you trust, or a tunnel"
        )
    usual = "26257" if scheme.startswith("cockroach") else "5432"
    hosts = parts["host"].split(",")
    ports = [port or usual for port in parts.get("port", "").split(",")]
    ports = ports * len(hosts) if len(ports) == 1 else ports
    if len(ports) != len(hosts) or not all(port.isdecimal() for port in ports):
        raise UsageError(f"{which} has {len(hosts)} hosts and {len(ports)} ports")
    if not all(0 < int(port) <= HIGHEST_PORT for port in ports):
        raise UsageError(f"{which} has a port that is none: they go from 1 to {HIGHEST_PORT}")
    if any(host.startswith("/") for host in hosts):
        raise UsageError(f"{which} names a socket's folder: a gateway leads to a host and a port")
    addresses = tuple(Address(host, int(port)) for host, port in zip(hosts, ports, strict=True))
    database = parts.get("dbname", parts["user"])
    return Target("postgresql", addresses, parts["user"], parts.get("password", ""), database, TLS[mode], private=True)
