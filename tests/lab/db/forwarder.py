"""A tiny TCP forwarder that can lose bytes at a chosen moment; the project's own proxy is not used to test its base."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum


class Loss(Enum):
    """What happens at the armed moment."""

    ACK = "the request is forwarded, the connection dies instead of the reply"
    REQUEST = "the connection dies instead of the request"
    SILENT_ACK = "the request is forwarded, nothing is ever heard again"
    SILENT_REQUEST = "nothing is forwarded, nothing is ever heard again"


class Forwarder:
    """Forward connections to *host*:*port*; `arm()` loses the *times* next requests that contain *sign*."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._sign = b""
        self._loss = Loss.ACK
        self._times = 0
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._silent: set[asyncio.StreamWriter] = set()
        self.accepted = 0
        self.fired = 0

    @property
    def port(self) -> int:
        """The port that clients connect to."""
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def arm(self, sign: bytes, loss: Loss, times: int = 1) -> None:
        """Lose the next *times* requests that contain *sign*."""
        self._sign, self._loss, self._times = sign, loss, times

    async def start(self) -> None:
        """Listen on a free loopback port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)

    async def stop(self) -> None:
        """Close the listener and every connection."""
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.accepted += 1
        above: asyncio.StreamWriter | None = None
        try:
            upstream, above = await asyncio.open_connection(*self._upstream)
            down = asyncio.ensure_future(self._down(upstream, writer))
            try:
                await self._up(reader, above, writer)
            finally:
                down.cancel()
                await asyncio.gather(down, return_exceptions=True)
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            for end in (writer, above):
                if end is not None:
                    end.transport.abort()

    async def _up(
        self, reader: asyncio.StreamReader, above: asyncio.StreamWriter, client: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if self._times > 0 and self._sign in data:
                self._times -= 1
                await self._lose(data, above, client)
            elif client not in self._silent or self._loss is Loss.SILENT_ACK:
                above.write(data)

    async def _lose(self, data: bytes, above: asyncio.StreamWriter, client: asyncio.StreamWriter) -> None:
        self.fired += 1
        self._silent.add(client)
        if self._loss in (Loss.ACK, Loss.SILENT_ACK):
            above.write(data)
        if self._loss is Loss.REQUEST:
            client.transport.abort()
            raise ConnectionAbortedError

    async def _down(self, upstream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await upstream.read(65536):
            if writer not in self._silent:
                writer.write(data)
            elif self._loss is Loss.ACK:
                writer.transport.abort()  # the server has answered: it is certain that the request was executed
                return
        if writer not in self._silent:
            writer.close()


@asynccontextmanager
async def forwarding(host: str, port: int) -> AsyncIterator[Forwarder]:
    """Run a forwarder to *host*:*port*."""
    forwarder = Forwarder(host, port)
    await forwarder.start()
    try:
        yield forwarder
    finally:
        await forwarder.stop()
