"""Addresses as Toxiproxy writes them: ``host:port``, ``[::1]:port``."""

from __future__ import annotations

import asyncio
import functools
import ipaddress
import socket

from faults.errors import BadRequest, ListenFailed

LOOPBACK = "127.0.0.1"

RESOLVE_TIMEOUT = 5.0
"""Seconds that looking up the name of a listening address may take."""


def parse_address(text: str, what: str) -> tuple[str, int]:
    """Split *text* into host and port; an empty host is the loopback address. Raise BadRequest, naming *what*."""
    host, colon, port = text.rpartition(":")
    if not colon:
        raise BadRequest(f"{what} '{text}': missing port in address, it should be host:port")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise BadRequest(f"{what} '{text}': the port must be a number from 0 to 65535")
    host = host.removeprefix("[").removesuffix("]") or LOOPBACK
    if not _is_host(host):
        raise BadRequest(f"{what} '{text}': '{host}' can be no host")
    return host, int(port)


def format_address(sockname: tuple[str | int, ...]) -> str:
    """Return a socket's name as ``host:port``, with brackets around an IPv6 host."""
    host, port = str(sockname[0]), sockname[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def resolve_listen(text: str) -> str:
    """Return *text* with its host as a number (IPv4 first), looked up without stalling the event loop.

    Raises BadRequest for what can be no address and ListenFailed for a name that is not found.
    """
    host, port = parse_address(text, "listen")
    if _is_number(host):
        return format_address((host, port))
    try:
        async with asyncio.timeout(RESOLVE_TIMEOUT):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError) as error:
        raise ListenFailed(
            f"listen tcp {text}: {getattr(error, 'strerror', None) or 'the name is not found'}"
        ) from error
    nearest = min(found, key=lambda entry: entry[0] != socket.AF_INET)[4]
    return format_address((str(nearest[0]), port))


@functools.lru_cache(maxsize=256)  # asked for each connection, about the same upstreams
def _is_host(host: str) -> bool:
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return host.isprintable() and not any(character in " /\\@[]" for character in host)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
