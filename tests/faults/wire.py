"""Both ends of a connection through a proxy, in the hands of a test: plain sockets, every wait bounded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import shutil
import socket
import struct
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from faults.client import ControlClient

PATIENCE = 20.0
"""Seconds after which something that should happen has not happened, even on a busy machine."""

_T = TypeVar("_T")


async def soon(thing: Awaitable[_T]) -> _T:
    """Wait for *thing*, with patience but not for ever."""
    async with asyncio.timeout(PATIENCE):
        return await thing


class Peer:
    """One end of a TCP connection."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock

    @property
    def address(self) -> str:
        host, port = self.sock.getsockname()[:2]
        return f"{host}:{port}"

    async def send(self, data: bytes) -> None:
        await soon(asyncio.get_running_loop().sock_sendall(self.sock, data))

    async def some(self) -> bytes:
        """Return what comes next; b"" is a FIN, ConnectionResetError a RST."""
        return await soon(asyncio.get_running_loop().sock_recv(self.sock, 262_144))

    async def receive(self, size: int) -> bytes:
        """Return exactly *size* bytes, or fewer if the stream ends before."""
        received = bytearray()
        while len(received) < size:
            data = await soon(asyncio.get_running_loop().sock_recv(self.sock, size - len(received)))
            if not data:
                break
            received += data
        return bytes(received)

    async def ending(self) -> str:
        """Read on until the stream ends; return "fin" or "reset"."""
        try:
            while await self.some():
                pass
        except ConnectionError:
            return "reset"
        return "fin"

    async def quiet(self, seconds: float) -> bool:
        """Whether nothing at all comes for so long."""
        try:
            async with asyncio.timeout(seconds):
                await asyncio.get_running_loop().sock_recv(self.sock, 1)
        except TimeoutError:
            return True
        return False

    async def push(self, most: int, *, stall: float = 0.4) -> int:
        """Send until *most* bytes were taken, or none for *stall* seconds, or that five times over; return how many."""
        sent, block, loop = 0, bytes(262_144), asyncio.get_running_loop()
        start = since = loop.time()
        while sent < most and loop.time() - since < stall and loop.time() - start < 5 * stall:
            try:
                sent += self.sock.send(block)
                since = loop.time()
                await asyncio.sleep(0)
            except BlockingIOError:
                await asyncio.sleep(0.005)
        return sent

    def shutdown(self) -> None:
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class Wire:
    """A proxy with its upstream: `connect` gives both ends of a new connection through it."""

    def __init__(self, control: ControlClient, name: str = "p") -> None:
        self.control = control
        self.name = name
        self.listen = ""
        self._open: list[Peer] = []
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._listener.setblocking(False)

    @property
    def upstream(self) -> str:
        return f"127.0.0.1:{self._listener.getsockname()[1]}"

    async def create(self) -> Wire:
        self.listen = (await self.control.create(self.name, "127.0.0.1:0", self.upstream)).listen
        return self

    async def connect(self) -> tuple[Peer, Peer]:
        client = await self.client()
        return client, await self.accept()

    async def client(self, address: str | None = None) -> Peer:
        host, port = (address or self.listen).rsplit(":", 1)
        # Not the event loop's connect: a reset that comes at once would be an error of that already.
        peer = Peer(socket.create_connection((host, int(port)), PATIENCE))
        self._open.append(peer)
        return peer

    async def accept(self) -> Peer:
        sock, _ = await soon(asyncio.get_running_loop().sock_accept(self._listener))
        self._open.append(peer := Peer(sock))
        return peer

    def close(self) -> None:
        self._listener.close()
        for peer in self._open:
            peer.close()


@contextlib.asynccontextmanager
async def wired(control: ControlClient, name: str = "p") -> AsyncIterator[Wire]:
    """A proxy and its upstream, gone afterwards."""
    wire = Wire(control, name)
    try:
        yield await wire.create()
    finally:
        wire.close()
        if name in await control.proxies():
            await control.delete(name)


@dataclass
class Server:
    """A proxy server in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    log: Path | None = None

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])


@contextlib.contextmanager
def our_server(log: Path, *arguments: str) -> Iterator[Server]:
    """Run ``python -m faults`` on a free port; it ends with the block, and its log must hold no traceback."""
    command = [sys.executable, "-m", "faults", "--port", "0", "--until-stdin-closes", *arguments]
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            assert line.startswith("control API: "), f"{line!r}: {log.read_text()}"
            yield Server(process, line.removeprefix("control API: ").strip(), log)
        finally:
            process.stdin.close()
            process.wait(PATIENCE)
    written = log.read_text()
    assert "Traceback" not in written, written[written.index("Traceback") - 300 :][:3000]


def real_server_binary() -> str | None:
    """Return the path of a real toxiproxy-server, if the machine has one."""
    return shutil.which(os.environ.get("TOXIPROXY_SERVER", "toxiproxy-server"))


@contextlib.contextmanager
def real_server(binary: str) -> Iterator[Server]:
    """Run a real Toxiproxy on a free port."""
    port = free_port()
    command = [binary, "-host", "127.0.0.1", "-port", str(port)]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet, text=True) as process:
        try:
            wait_for_port(port)
            yield Server(process, f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            process.wait(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def can_connect(address: str) -> bool:
    host, port = address.rsplit(":", 1)
    with socket.socket() as sock:
        sock.settimeout(PATIENCE)
        return sock.connect_ex((host, int(port))) in (0, errno.ECONNRESET)  # accepted, if only to be reset


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while not can_connect(f"127.0.0.1:{port}"):
        assert time.monotonic() < deadline, f"nothing listens on port {port}"
        time.sleep(0.02)


@contextlib.contextmanager
def black_hole() -> Iterator[str]:
    """The address of a port that answers no SYN: a listener whose backlog is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as fillers:
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"
