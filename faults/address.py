"""Addresses as Toxiproxy writes them: ``host:port``, ``[::1]:port``."""

from __future__ import annotations

from faults.errors import BadRequest

LOOPBACK = "127.0.0.1"


def parse_address(text: str, what: str) -> tuple[str, int]:
    """Split *text* into host and port; an empty host is the loopback address. Raise BadRequest, naming *what*."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise BadRequest(f"{what} '{text}': missing port in address, it should be host:port")
    if not port.isdecimal() or int(port) > 65535:
        raise BadRequest(f"{what} '{text}': the port must be a number from 0 to 65535")
    return host.removeprefix("[").removesuffix("]") or LOOPBACK, int(port)


def format_address(sockname: tuple[str | int, ...]) -> str:
    """Return a socket's name as ``host:port``, with brackets around an IPv6 host."""
    host, port = str(sockname[0]), sockname[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
