"""The retry policy: whole transactions, fresh sessions, bounded in attempts and seconds, honest about lost answers.

Why an idempotency key settles a lost acknowledgement: the key's row is written by the very transaction that does the
work. A repeated unit first inserts the same key. If the lost COMMIT is still in flight on the server, that insert waits
for it, on the unique index. Then either the lost one was applied: the insert finds the row, or fails with 40001 because
its snapshot is older, and the next attempt finds it. Or it was not applied: the insert succeeds, the lost one can never
be applied any more, and from here on the earlier doubt is settled. The server's idle-in-transaction time-out bounds the
wait for a transaction whose client was lost before COMMIT reached the server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

from tenacity import AsyncRetrying, RetryCallState

from lab.retry._attempt import Attempt
from lab.retry.classify import Decision, Phase
from lab.retry.errors import DeadlinePassed, OutcomeUnknown
from lab.retry.shape import AlreadyApplied, Sessions, Work

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Observation:
    """One failed attempt: its *attempt* number (from 1), where and why it failed, and the *wait* (s) that follows.

    *wait* is None when the policy gives up.
    """

    attempt: int
    phase: Phase
    error: BaseException
    decision: Decision
    wait: float | None


@dataclass(frozen=True, slots=True)
class Backoff:
    """Full jitter: wait 0 to *first* * 2**(n-1) seconds before the n-th retry, *longest* at most."""

    first: float
    longest: float

    def wait(self, retry: int, random: Random) -> float:
        """Return the seconds to wait before the *retry*-th retry (from 1)."""
        return random.uniform(0.0, min(self.longest, self.first * 2.0 ** min(retry - 1, 64)))


@dataclass(frozen=True)
class RetryPolicy:
    """Run a unit of work until it is applied, or say what is known: the right policy.

    Bounds: at most *attempts* attempts, at most *deadline* seconds in all (it also cuts a running attempt), *cleanup*
    seconds to give a failed attempt's connection back before it is cut. Errors for which classify() says JUDGEMENT are
    retried *judgements* times a unit. *repeatable* work (reads) does no harm when repeated: no doubt arises.
    Waits come from *backoff*, after refused connections from the longer *later*; *random* draws them and *sleep* spends
    them. *observe* is told of every failed attempt.

    Raises OutcomeUnknown if an acknowledgement was lost and could not be settled; DeadlinePassed if the deadline struck
    before COMMIT; else the last attempt's own error, with a note. Cancellation passes through and is never retried.
    """

    attempts: int = 10
    deadline: float = 15.0
    backoff: Backoff = Backoff(first=0.01, longest=1.0)
    later: Backoff = Backoff(first=0.2, longest=3.0)
    judgements: int = 1
    repeatable: bool = False
    cleanup: float = 1.0
    random: Random = field(default_factory=Random, compare=False, repr=False)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    observe: Callable[[Observation], None] | None = None

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.deadline <= 0 or self.cleanup <= 0:
            raise ValueError("a policy needs at least one attempt, a deadline and a cleanup bound above 0 s")

    async def __call__(self, sessions: Sessions, work: Work[T], *, key: str | None = None) -> T | AlreadyApplied:
        """Apply *work* in one transaction and return its answer; with *key*, exactly once across lost answers."""
        unit: _Unit[T] = _Unit(self, sessions, work, key)
        try:
            return await unit.run()
        except Exception as error:
            final = unit.last_word(error)
            if final is error:
                raise
            raise final from error


class _Unit(Generic[T]):
    """The state of one call: attempts so far, what is still in doubt, and tenacity's three questions."""

    def __init__(self, policy: RetryPolicy, sessions: Sessions, work: Work[T], key: str | None) -> None:
        self._policy = policy
        self._sessions = sessions
        self._work = work
        self._key = key
        self._clock = asyncio.get_running_loop().time
        self._started = self._clock()
        self._attempt: Attempt[T] | None = None
        self._number = 0
        self._decisions: list[Decision] = []
        self._doubt: BaseException | None = None

    async def run(self) -> T | AlreadyApplied:
        # tenacity costs about 20 us a call; a unit that succeeds at once, as nearly all do, need not pay for it.
        try:
            return await self._one_attempt()
        except Exception as error:
            first = error
        return await self._go_on_after(first)

    async def _go_on_after(self, first: Exception) -> T | AlreadyApplied:
        failed: list[Exception] = [first]

        async def attempt() -> T | AlreadyApplied:
            if failed:
                raise failed.pop()  # the first attempt has been made: tenacity only has to judge it
            return await self._one_attempt()

        retrying = AsyncRetrying(
            sleep=self._policy.sleep, retry=self._again, wait=self._wait, stop=self._stop, reraise=True
        )
        answer: T | AlreadyApplied = await retrying(attempt)
        return answer

    def last_word(self, error: Exception) -> Exception:
        """Return what the caller must hear after the last *error*."""
        seconds = self._clock() - self._started
        if self._doubt is not None:
            return OutcomeUnknown("the outcome of the unit is unknown", self._number, seconds)
        if self._attempt is not None and self._attempt.struck:
            return DeadlinePassed("the deadline struck before COMMIT was asked", self._number, seconds)
        error.add_note(f"given up after {self._number} attempt(s) and {seconds:.3f} s")
        return error

    async def _one_attempt(self) -> T | AlreadyApplied:
        self._number += 1
        ends = self._started + self._policy.deadline
        attempt = self._attempt = Attempt(self._sessions, self._work, self._key, ends, self._policy.cleanup)
        try:
            return await attempt.run()
        finally:
            if attempt.owns_key:
                self._doubt = None

    def _again(self, state: RetryCallState) -> bool:
        error = state.outcome.exception() if state.outcome else None
        if self._attempt is None or not isinstance(error, Exception):
            return False
        decision = self._attempt.decide(error)
        self._decisions.append(decision)
        if decision is Decision.UNKNOWN and not self._policy.repeatable:
            self._doubt = self._doubt or error
        again = self._may_retry(decision)
        if not again:
            self._tell(error, None)
        return again

    def _may_retry(self, decision: Decision) -> bool:
        match decision:
            case Decision.RETRY | Decision.RETRY_LATER:
                return True
            case Decision.RETRY_ONCE:
                return self._decisions.count(decision) <= 1
            case Decision.JUDGEMENT:
                return self._decisions.count(decision) <= self._policy.judgements
            case Decision.UNKNOWN:
                return self._key is not None or self._policy.repeatable
            case Decision.NEVER:
                return False

    def _wait(self, _: RetryCallState) -> float:
        last = self._decisions[-1]
        backoff = self._policy.later if last is Decision.RETRY_LATER else self._policy.backoff
        return backoff.wait(self._number, self._policy.random)

    def _stop(self, state: RetryCallState) -> bool:
        # A wait that would outlast the deadline is not begun: nobody is served by hearing the same answer later.
        remaining = self._started + self._policy.deadline - self._clock()
        stop = self._number >= self._policy.attempts or state.upcoming_sleep >= remaining
        error = state.outcome.exception() if state.outcome else None
        if error is not None:
            self._tell(error, None if stop else state.upcoming_sleep)
        return stop

    def _tell(self, error: BaseException, wait: float | None) -> None:
        if self._policy.observe is not None and self._attempt is not None:
            phase = self._attempt.phase
            self._policy.observe(Observation(self._number, phase, error, self._decisions[-1], wait))
