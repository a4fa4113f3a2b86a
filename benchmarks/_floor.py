"""The least that a proxy in Python can be: bytes from socket to socket on uvloop, and nothing else.

No toxics, no evidence, no RST, no control API: what is below its figures no proxy on this event loop can reach.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import cast

import uvloop


class Half(asyncio.Protocol):
    """One socket; what it receives is written to the other one."""

    transport: asyncio.Transport

    def __init__(self, other: Half | None = None) -> None:
        self.ended = False
        self.other = other or self
        self.other.other = self

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)

    def data_received(self, data: bytes) -> None:
        """Hand data over."""
        self.other.transport.write(data)

    def pause_writing(self) -> None:
        """Let the source wait."""
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the source go on."""
        self.other.transport.resume_reading()

    def eof_received(self) -> bool:
        """Carry a half-close, or end both when both have ended."""
        self.ended = True
        if self.other.ended:
            self.transport.close()
            self.other.transport.close()
        elif not self.other.transport.is_closing():
            self.other.transport.write_eof()
        return True

    def connection_lost(self, _exc: Exception | None) -> None:
        """End both."""
        self.other.transport.close()


async def forward(host: str, port: int) -> None:
    """Forward to *host* and *port* until stdin closes; the port that it listens on goes to stdout."""
    loop = asyncio.get_running_loop()
    dials: set[asyncio.Task[None]] = set()

    def accept() -> None:
        dial = loop.create_task(connect(listener.accept()[0]))
        dials.add(dial)
        dial.add_done_callback(dials.discard)

    async def connect(client: socket.socket) -> None:
        client.setblocking(False)
        _, server = await loop.create_connection(Half, host, port)
        await loop.connect_accepted_socket(lambda: Half(server), client)

    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        listener.setblocking(False)
        loop.add_reader(listener, accept)
        print(listener.getsockname()[1], flush=True)
        await loop.run_in_executor(None, sys.stdin.read)  # ends with the benchmark, however that ends


if __name__ == "__main__":
    uvloop.run(forward(sys.argv[1], int(sys.argv[2])))
