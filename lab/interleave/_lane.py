"""One transaction of a schedule: its session, the steps that wait for their turn, and what they met."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from lab.db.drivers import cut
from lab.interleave.model import Answer
from lab.interleave.outcome import Blocked, Fate, Seen
from lab.interleave.steps import End, Read, Step
from lab.interleave.table import statement_of
from lab.retry import Decision, Phase, classify, sqlstate

TROUBLE: Final = (SQLAlchemyError, OSError)
"""What a statement can meet; time-outs of connections are OSErrors. Anything else is a mistake of ours."""


class Lane:
    """Runs the steps of one transaction, one after the other, in a task of its own. *record* gets what each one met."""

    def __init__(self, number: int, session: AsyncSession, record: dict[int, Seen]) -> None:
        self.number = number
        self.fate: Fate | None = None
        self.proven: int | None = None
        """How many transactions had ended when the present step was last seen to be blocked."""
        self.present: int | None = None
        """The index of the step that is under way, or was the last."""
        self.pid: int | None = None
        self._session = session
        self._record = record
        self._driver: Any = None
        self._pending: deque[tuple[int, Step]] = deque()
        self._blocked: Blocked | None = None
        self._task: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Take a connection."""
        connection = await self._session.connection()
        self._driver = (await connection.get_raw_connection()).driver_connection
        self.pid = self._driver.get_server_pid()

    @property
    def busy(self) -> bool:
        """Whether a step has not come back."""
        return self._task is not None and not self._task.done()

    def begin(self, index: int, step: Step) -> None:
        """Begin a step, once those before it have come back."""
        self._pending.append((index, step))
        if not self.busy:
            self._task = asyncio.create_task(self._work())

    def block(self, how: Blocked, index: int | None, ended: int) -> None:
        """Note that the step of that *index* waits for another transaction, though *ended* have come to their end."""
        if index == self.present:  # it may have come back while the server was asked
            self._blocked = self._blocked or how
            self.proven = ended

    async def wait(self, seconds: float) -> None:
        """Wait for the steps that were begun, up to a bound; raise what no statement can have met."""
        if self._task is not None:
            await asyncio.wait((self._task,), timeout=seconds)
            if self._task.done():
                self._task.result()

    async def close(self, seconds: float) -> bool:
        """Give the connection back; tell whether it had to be cut, because it still waited for a statement."""
        late = self.busy
        if late and self._task is not None:
            cut(self._driver)
            with suppress(Exception):
                await asyncio.wait_for(self._task, seconds)
        with suppress(*TROUBLE):
            async with asyncio.timeout(seconds):
                await self._session.close()
        return late

    async def _work(self) -> None:
        while self._pending:
            index, step = self._pending.popleft()
            self.present = index
            self._blocked = self.proven = None
            self._record[index] = Seen(step) if self.fate else await self._met(step)

    async def _met(self, step: Step) -> Seen:
        try:
            answer = await self._do(step)
        except TROUBLE as error:
            self.fate = await self._ended_by(error, step)
            about = " ".join(str(getattr(error, "orig", None) or error).split()) or type(error).__name__
            return Seen(step, None, about, sqlstate(error), self._blocked, self._place())
        return Seen(step, answer, None, None, self._blocked, self._place())

    async def _do(self, step: Step) -> Answer | None:
        if step.action is End.COMMIT:
            await self._session.commit()
            self.fate = Fate.COMMITTED
            return None
        if step.action is End.ABORT:
            await self._session.rollback()
            self.fate = Fate.ABORTED
            return None
        result: Any = await self._session.execute(statement_of(step.action))
        if isinstance(step.action, Read):
            return tuple((number, value) for number, value in result)
        return int(result.rowcount)

    async def _ended_by(self, error: Exception, step: Step) -> Fate:
        # PostgreSQL has let its locks go by now; CockroachDB may keep them until it is told to roll back.
        with suppress(*TROUBLE):
            await self._session.rollback()
        if step.action is End.ABORT:
            return Fate.ABORTED
        doubt = step.action is End.COMMIT and classify(error, Phase.COMMIT) is Decision.UNKNOWN
        return Fate.UNKNOWN if doubt else Fate.FAILED

    def _place(self) -> int:
        return sum(seen.done is not None for seen in self._record.values())
