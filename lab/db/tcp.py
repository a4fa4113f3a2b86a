"""What the kernel is told about a connection: when a peer that does not acknowledge counts as gone."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any, Final

PROBES: Final = 3
"""Keep-alive probes without an answer after which the kernel gives a silent connection up."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """Times in seconds; None leaves the system's own.

    *user_timeout*: data sent and not acknowledged. *keepalive*: silence before the first probe; the others follow each
    a third of that apart. Both are about packets, so neither helps while something between, a proxy or a stopped
    process's kernel, acknowledges and forwards nothing. The kernel counts keep-alives in whole seconds.
    """

    user_timeout: float | None = None
    keepalive: float | None = None

    @property
    def _interval(self) -> int:
        return max(1, round((self.keepalive or 0) / 3))

    def parameters(self) -> dict[str, int]:
        """Return libpq's connection parameters."""
        given = {} if self.user_timeout is None else {"tcp_user_timeout": round(self.user_timeout * 1000)}
        if self.keepalive is None:
            return given
        idle = max(1, round(self.keepalive))
        return given | {"keepalives_idle": idle, "keepalives_interval": self._interval, "keepalives_count": PROBES}

    def apply(self, connected: Any) -> None:
        """Set them on a connected TCP socket, as far as this system knows them."""
        values = {"TCP_USER_TIMEOUT": self.user_timeout and round(self.user_timeout * 1000)}
        if self.keepalive is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            values |= {
                "TCP_KEEPIDLE": max(1, round(self.keepalive)),
                "TCP_KEEPINTVL": self._interval,
                "TCP_KEEPCNT": PROBES,
            }
        for name, value in values.items():
            if value is not None and hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
