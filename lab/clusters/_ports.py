"""Ports for servers that may be down for a while."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 20_000
TRIES = 200


def free_port() -> int:
    """Return a TCP port that nobody listens on at 127.0.0.1, below those that the kernel gives to clients.

    A port from the clients' range is not safe while its server is down: another client may be given it, and one that
    keeps dialling it will sooner or later be connected to itself (a simultaneous open), after which the server cannot
    come back. Another process may still be faster than the caller, who must be ready to ask again.
    """
    chance = random.SystemRandom()  # not the run's seed: two runs of one seed must not meet
    above = _first_client_port()
    for _ in range(TRIES if above > LOWEST + TRIES else 0):
        port = chance.randrange(LOWEST, above)
        if _bindable(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _first_client_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()[0])
    except (OSError, ValueError):
        return 32_768  # macOS and the BSDs begin at 49152 or higher


def _bindable(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
