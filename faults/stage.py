"""One toxic's place on one stream of one connection.

Interruption, end of stream, back-pressure and "no byte lost" live here and in the link, never in a toxic: a toxic
iterates over chunks, holds, sends, drops, closes or aborts.
"""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from faults.chunk import Chunk, End
from faults.evidence import Record

if TYPE_CHECKING:
    from faults.toxics import Toxic

logger = logging.getLogger(__name__)

CAPACITY = 128 * 1024
"""Bytes that wait in front of a stage before the source is paused, unless its toxic names another *capacity*."""

CHUNK_COST = 256
"""Bytes that a waiting chunk counts for beyond its data: a million chunks of one byte must not fit in a megabyte."""


class Receiver(Protocol):
    """What a stage sends to: the next stage, or the socket at the end."""

    full: bool

    def put(self, data: bytes) -> None:
        """Take data; never blocks."""

    def put_end(self, end: End) -> None:
        """Take the end of the stream."""


class Owner(Protocol):
    """The link, as its stages see it."""

    connection_id: int
    client: str

    def rebalance(self) -> None:
        """Pause or resume the source and wake the stages that wait for room."""

    def left(self, stage: Stage) -> None:
        """Take a stage that has been released and is empty out of the chain."""

    def reset(self) -> None:
        """Reset both sides at once."""


class Stage:
    """A toxic at work. The public attributes and methods without a leading underscore up to `abort` are the toxic's."""

    def __init__(self, toxic: Toxic, owner: Owner, record: Record, random: random_module.Random) -> None:
        self._loop = asyncio.get_running_loop()
        self.time: Callable[[], float] = self._loop.time
        self.random = random
        self.started = self.time()
        self.sent = 0
        self.dropped = 0
        self.ended = False
        self.alarm_rang = False
        self.interrupted = False
        self.full = False
        self.next: Receiver | None = None
        self.toxic = toxic
        self.record = record
        self._owner = owner
        self._capacity = getattr(toxic, "capacity", CAPACITY)
        self._inbox: deque[Chunk] = deque()
        self._waiting = 0
        self._current = 0
        self._end: End | None = None
        self._released = False
        self._closed = False
        self._alarm: float | None = None
        self._sleeper: asyncio.Future[None] | None = None
        self._wants_input = False
        self._task = self._loop.create_task(self._run())

    # --- for the toxic ------------------------------------------------------------------------------------------

    def __aiter__(self) -> Stage:
        """Iterate over the chunks of the stream, until it ends, the alarm rings or the toxic is changed or removed."""
        return self

    async def __anext__(self) -> Chunk:
        """Return the next chunk."""
        while not (self.interrupted or self._closed):
            if self._alarm is not None and self.time() >= self._alarm:
                self.alarm_rang = True
                break
            if self._inbox:
                return self._take()
            if self._end is not None:
                self.ended = True
                break
            await self._sleep(self._alarm, wants_input=True)
        raise StopAsyncIteration

    async def hold(self, until: float) -> None:
        """Wait until the loop's clock shows *until* (seconds); return at once when the toxic is changed or removed."""
        if until > self.time() and not self.interrupted:
            self.touch()
            while until > self.time() and not self.interrupted:
                await self._sleep(until)

    async def send(self, chunk: Chunk) -> None:
        """Pass a chunk on, waiting while the receiver is full."""
        while self._receiver.full:
            await self._sleep(None)
        if not self._closed:
            self.sent += chunk.size
            self._receiver.put(chunk.data)

    def drop(self, chunk: Chunk) -> None:
        """Lose a chunk for good; the connection will end when the toxic is removed."""
        self.dropped += chunk.size
        self.touch()

    def set_alarm(self, at: float) -> None:
        """End the iteration when the loop's clock shows *at* (seconds)."""
        self._alarm = at

    def touch(self) -> None:
        """Put on record that the toxic did something here; the bytes of the current chunk are counted once."""
        self.record.note(self._owner.connection_id, self._owner.client, self._current)
        self._current = 0

    def close(self) -> None:
        """End the connection in an orderly way behind what was sent."""
        self._finish(End.CLOSE)

    def abort(self) -> None:
        """Reset the connection on both sides, now."""
        self.touch()
        self._closed = True
        self._owner.reset()

    # --- for the link -------------------------------------------------------------------------------------------

    def put(self, data: bytes) -> None:
        """Take data from the stage before, or from the source."""
        if self._closed:
            return
        self._inbox.append(Chunk(data, self.time()))
        self._waiting += len(data) + CHUNK_COST
        self.full = self._waiting >= self._capacity
        if self._wants_input:
            self.wake()

    def put_end(self, end: End) -> None:
        """Take the end of the stream; only a reset may follow, and only an EOF, even one that has been passed on."""
        if self._end is None or (self._end is End.EOF and end is End.RESET):
            self._end, passed_on = end, self._closed and self._end is End.EOF
            if passed_on:
                self._receiver.put_end(end)
            elif self._wants_input:
                self.wake()

    def change(self, toxic: Toxic) -> None:
        """Go on with other parameters: what is being held leaves at once, what waits meets the new toxic."""
        self.toxic = toxic
        self._interrupt()

    def release(self) -> None:
        """Let everything pass and leave the chain; a stream with a hole must not go on, so its connection is closed."""
        self._released = True
        if self.dropped:
            self.close()
        self._interrupt()

    def cancel(self) -> None:
        """Stop at once; the connection is over."""
        self._closed = True
        self._task.cancel()

    def wake(self) -> None:
        """Make a waiting stage look again."""
        if self._sleeper is not None and not self._sleeper.done():
            self._sleeper.set_result(None)

    # --- its own ------------------------------------------------------------------------------------------------

    @property
    def _receiver(self) -> Receiver:
        assert self.next is not None, "the link sets `next` before anything runs"  # noqa: S101 - an invariant
        return self.next

    async def _run(self) -> None:
        try:
            await self._work()
        except asyncio.CancelledError:
            raise
        except Exception:
            logger.exception("toxic %s failed; its connection is reset", self.record.name)
            self._owner.reset()

    async def _work(self) -> None:
        again = True
        while again and not self._released:
            self.interrupted = False
            await self.toxic.pipe(self)
            again = self.interrupted
        await self._drain()

    async def _drain(self) -> None:
        while not self._closed:
            if self._released:
                self._leave()
                return
            if self._inbox:
                await self.send(self._take())
            elif self._end is not None:
                self._finish(self._end)
            else:
                await self._sleep(None, wants_input=True)

    def _leave(self) -> None:
        # At most one capacity goes on without asking for room: under full traffic an inbox would never be seen empty.
        while self._inbox:
            self._receiver.put(self._inbox.popleft().data)
        self._waiting = 0
        self.full = False
        if self._end is not None:
            self._finish(self._end)
        self._owner.left(self)

    def _take(self) -> Chunk:
        chunk = self._inbox.popleft()
        self._current = chunk.size
        self._waiting -= chunk.size + CHUNK_COST
        if self.full and self._waiting < self._capacity:
            self.full = False
            self._owner.rebalance()
        return chunk

    def _finish(self, end: End) -> None:
        if self._closed:
            return
        if self._end is not end:
            self.touch()
        self._closed = True
        self._inbox.clear()
        self._waiting = 0
        self.full = False
        self._receiver.put_end(end)
        self._owner.rebalance()

    def _interrupt(self) -> None:
        self.interrupted = True
        self._alarm = None
        self.alarm_rang = False
        self.wake()

    async def _sleep(self, until: float | None, *, wants_input: bool = False) -> None:
        self._sleeper = self._loop.create_future()
        self._wants_input = wants_input
        timer = None
        if until is not None and until != float("inf"):
            timer = self._loop.call_at(until, self.wake)
        try:
            await self._sleeper
        finally:
            self._sleeper = None
            self._wants_input = False
            if timer is not None:
                timer.cancel()
