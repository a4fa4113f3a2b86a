"""A proxy whose host is gone, as its clients see it: no byte is acknowledged, and nothing says so.

Its sockets towards clients fall silent (`faults.silence`) and send no more. The servers behind it see idle clients.
What ends meanwhile (a server that is lost, a cut) ends for the client when the proxy comes back.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from typing import Final

from faults import silence
from faults.evidence import Record
from faults.link import Connection

SETTLES: Final = 0.25
"""Seconds within which a client's kernel acknowledges what it has got: a delayed acknowledgement takes less."""

LOOK: Final = 0.002
"""Seconds between two looks."""


class Vanishing:
    """What is silent while a proxy is gone; *record* is its evidence."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.over = False
        self._silent: list[silence.Settable] = []
        self._kept: list[socket.socket] = []

    def listener(self, sock: socket.socket) -> None:
        """Answer no SYN on *sock*. Raises BadRequest where the system does not allow it."""
        silence.silence(sock)
        self._silent.append(sock)

    def dialling(self, connection: Connection, client: socket.socket) -> None:
        """Take hold of a client that waits for its server, or is being joined to it: nothing was sent to it yet."""
        connection.client_end.freeze()
        self._hush(connection, client)

    async def established(self, connections: Iterable[Connection]) -> None:
        """Take hold of connections, once their clients have acknowledged what they were sent.

        Otherwise the kernel would go on sending that, and each time say how far it has read.
        """
        ends = [(one, one.client_end.freeze()) for one in connections]
        deadline = asyncio.get_running_loop().time() + SETTLES
        while any(sock is not None and silence.unacknowledged(sock) for _, sock in ends):
            if asyncio.get_running_loop().time() > deadline:
                break
            await asyncio.sleep(LOOK)
        for connection, sock in ends:
            if sock is not None and sock.fileno() >= 0 and not self.over:
                self._hush(connection, sock)

    def keep(self, client: socket.socket) -> None:
        """Keep a socket open that would be closed: its client must not hear of that yet."""
        self._kept.append(client)

    def end(self, connections: Iterable[Connection]) -> None:
        """Be back: hear again, send what was held, and end what has ended."""
        self.over = True
        for sock in self._silent:
            silence.hear(sock)
        for client in self._kept:
            client.close()
        for connection in list(connections):
            connection.client_end.thaw()

    def _hush(self, connection: Connection, sock: silence.Settable) -> None:
        silence.silence(sock)
        self._silent.append(sock)
        self.record.note(connection.id, connection.client)
