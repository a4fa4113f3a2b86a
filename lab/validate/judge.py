"""The judge: pure functions from what was seen in a case to a verdict and one sentence.

A failure says what the policy did, what the truth was, and how to mend it.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import TypeAlias

from lab.validate.facts import Facts, Said, UnitFacts
from lab.verdict import Verdict

Ruling: TypeAlias = tuple[Verdict, str]
Judge: TypeAlias = Callable[[Facts], Ruling]

MOST_ATTEMPTS = 100
"""Attempts at one unit; a policy that makes more is taken to make them for ever."""

PROMPT = 1.5
"""Seconds in which a cancelled policy has to end; giving a connection back politely is part of it."""

STANDSTILL = 0.04
"""Seconds for which the event loop may stand still."""

STORM_RATE = 10.0
"""Attempts per second and client in a storm, on the whole."""

CALM_RATE = 4.0
"""Attempts per second and client that are calm in any case."""

MENDING = {
    "lost": "return only after COMMIT was acknowledged, and let every error out",
    "duplicate": "never repeat a transaction whose COMMIT may have been applied, unless that same transaction writes "
    "an idempotency key",
    "phantom": "raise an OutcomeUnknown when the connection is lost, or 40003 comes, at COMMIT",
}


def safe(facts: Facts) -> Ruling:
    """What was said is what the database holds, or it was honestly unknown."""
    unit = facts.unit
    told = f"the policy said {unit.said} after {_attempts(unit)}, and the unit is {_times(unit)} in the database"
    if unit.ledger in MENDING:
        return Verdict.FAIL, f"{told} ({unit.ledger}): {MENDING[unit.ledger]}"
    if unit.said is Said.NOTHING:
        return Verdict.INCONCLUSIVE, f"the policy had not answered after {facts.deadline:g} s: give it a deadline"
    return Verdict.PASS, f"{told}: {unit.ledger}"


def gets_through(facts: Facts) -> Ruling:
    """A transient fault is got over."""
    unit = facts.unit
    if unit.said is Said.DONE and unit.effects == 1:
        return Verdict.PASS, f"done after {_attempts(unit)}"
    return Verdict.FAIL, (
        f"the policy said {unit.said} after {_attempts(unit)}{_because(unit)}, while the fault was transient and the "
        f"unit is {_times(unit)} in the database: repeat the whole transaction, COMMIT included, in a fresh session"
    )


def not_retried(facts: Facts) -> Ruling:
    """A permanent error is met once."""
    unit = facts.unit
    if unit.hits == 1 and unit.said is Said.FAILED:
        return Verdict.PASS, "failed at the first attempt"
    if unit.hits <= 1:
        return Verdict.FAIL, (
            f"the policy said {unit.said}, while the unit had failed with an error that is permanent and certain: let "
            "that error out as it is"
        )
    return Verdict.FAIL, (
        f"the policy met the permanent error {unit.hits} times and said {unit.said}, while it can only fail again: "
        "retry by a list of SQLSTATEs, not every exception"
    )


def bounded_attempts(facts: Facts) -> Ruling:
    """A fault without end ends the policy."""
    worst = max(facts.units, key=lambda unit: unit.attempts)
    if worst.said is Said.NOTHING or worst.attempts >= MOST_ATTEMPTS:
        return Verdict.FAIL, (
            f"the policy was still at it after {_attempts(worst)} in {worst.seconds:.1f} s, while the error never "
            "ended: stop after some attempts or at a deadline"
        )
    if worst.said is Said.DONE:
        return Verdict.FAIL, "the policy said done, while every attempt had failed: let the last error out"
    return Verdict.PASS, f"gave up after {_attempts(worst)} and {worst.seconds:.1f} s"


def growing_waits(facts: Facts) -> Ruling:
    """Waits grow on the whole, and differ from unit to unit."""
    rounds = [waits for waits in _by_retry(facts) if len(waits) >= 3]
    if not rounds:
        return Verdict.PASS, "it does not retry, so it does not wait"
    means = [statistics.fmean(waits) for waits in rounds]
    shown = ", ".join(f"{mean * 1000:.0f}" for mean in means[:8])
    if max(means) < 0.0005:
        return (
            Verdict.FAIL,
            "the policy retried without waiting: wait, and longer from attempt to attempt",
        )
    widest = max(zip(means, rounds, strict=True), key=lambda pair: pair[0])
    if statistics.pstdev(widest[1]) < 0.02 * widest[0]:
        return Verdict.FAIL, (
            f"the waits of {len(facts.units)} clients were the same ({shown} ms), so they collide again and again: "
            "draw each wait at random (full jitter)"
        )
    third = max(1, len(means) // 3)
    if len(means) >= 2 and statistics.fmean(means[-third:]) < 1.3 * statistics.fmean(means[:third]):
        return Verdict.FAIL, (
            f"the waits did not grow ({shown} ms), so a struggling database is hit as hard as before: double the "
            "bound of the wait from attempt to attempt"
        )
    return Verdict.PASS, f"mean waits of {shown} ms, jittered"


def keeps_deadline(facts: Facts) -> Ruling:
    """Whatever happens, the caller hears an answer in time."""
    unit = facts.unit
    if unit.said in (Said.NOTHING, Said.CANCELLED) or unit.seconds > facts.deadline:
        return Verdict.FAIL, (
            f"the policy gave no answer in {unit.seconds:.1f} s and {_attempts(unit)}, while the fault had no end: "
            "bound the whole call, waits included, by a deadline"
        )
    if unit.said is Said.DONE:
        return Verdict.FAIL, "the policy said done, while nothing could be reached: let the last error out"
    return Verdict.PASS, f"{unit.said} after {unit.seconds:.1f} s and {_attempts(unit)}"


def calm_in_a_storm(seconds: float) -> Judge:
    """Many clients in an outage of *seconds*: few attempts a second, and ever fewer."""

    def judge(facts: Facts) -> Ruling:
        clients, half = len(facts.units), seconds / 2
        begin = min(facts.attempts_at, default=0.0)  # a busy machine takes its time to start so many
        first = sum(at - begin < half for at in facts.attempts_at) / clients / half
        second = sum(half <= at - begin < seconds for at in facts.attempts_at) / clients / half
        shown = f"{clients} clients made {first * clients:,.0f}, then {second * clients:,.0f} attempts per second"
        if second <= CALM_RATE or (second < 0.6 * first and (first + second) / 2 <= STORM_RATE):
            return Verdict.PASS, shown
        return Verdict.FAIL, f"{shown} while the database was down, which keeps it down: grow the waits, and stop"

    return judge


def nothing_left(facts: Facts) -> Ruling:
    """Connections are given back, in a state in which the next one can use them."""
    if facts.checked_out:
        return Verdict.FAIL, (
            f"the policy left {facts.checked_out} connections checked out when it had ended, and the pool runs dry: "
            "close the session of every attempt, failed ones too (async with)"
        )
    if facts.open_transactions:
        return Verdict.FAIL, (
            f"the policy left {facts.open_transactions} transactions open on the server, with their locks: roll back "
            "or close every session"
        )
    if facts.next_user:
        return Verdict.FAIL, f"the next user of the pool got {facts.next_user}: close every session"
    return Verdict.PASS, "no connection out, no transaction open, the next user is served"


def fresh_state(facts: Facts) -> Ruling:
    """An attempt does not begin in what an earlier one left."""
    unit = facts.unit
    if unit.stale:
        return Verdict.FAIL, (
            f"attempt {min(2, unit.calls)} went on in the transaction that had failed before and so could only fail by "
            "its error: begin each attempt with a fresh session"
        )
    return Verdict.PASS, f"{_attempts(unit)}, each in a transaction of its own"


def cancelled_at_once(facts: Facts) -> Ruling:
    """Cancellation passes through: it is nobody's error."""
    unit = facts.unit
    if unit.after_cancel is None and unit.calls < 2:
        return Verdict.PASS, "it makes one attempt only: there is no wait to be cancelled in"
    if unit.after_cancel is None:
        return Verdict.INCONCLUSIVE, f"the policy said {unit.said} before it could be cancelled"
    if unit.said is Said.NOTHING:
        return Verdict.FAIL, (
            f"the policy went on for {unit.seconds:.1f} s, however often it was cancelled, and had to be left behind: "
            "never catch CancelledError (BaseException, bare except), or raise it again"
        )
    if unit.said is not Said.CANCELLED:
        return Verdict.FAIL, (
            f"the policy took its cancellation for an error and said {unit.said} after {_attempts(unit)}: never catch "
            "CancelledError (BaseException, bare except), or raise it again"
        )
    if unit.calls_after_cancel or unit.after_cancel > PROMPT:
        return Verdict.FAIL, (
            f"the policy went on for {unit.after_cancel:.1f} s and {unit.calls_after_cancel} attempts after it was "
            "cancelled: let CancelledError out at once"
        )
    return Verdict.PASS, f"ended {unit.after_cancel * 1000:.0f} ms after it was cancelled"


def never_blocks(facts: Facts) -> Ruling:
    """The event loop goes on while the policy waits."""
    if facts.lag > STANDSTILL:
        return Verdict.FAIL, (
            f"the event loop stood still for {facts.lag * 1000:.0f} ms while the policy waited, and every other "
            "task with it: use await asyncio.sleep(), never time.sleep() or a synchronous driver"
        )
    return Verdict.PASS, f"the event loop never stood still for more than {STANDSTILL * 1000:.0f} ms"


def cost(facts: Facts) -> Ruling:
    """Attempts and statements per commit, and how long a unit takes: information, no verdict."""
    done = [unit for unit in facts.units if unit.said is Said.DONE]
    if not done:
        return Verdict.PASS, "no unit was done"
    times = sorted(unit.seconds * 1000 for unit in done)
    attempts, statements = sum(unit.attempts for unit in done) / len(done), facts.statements / len(done)
    p50, p99 = times[len(times) // 2], times[len(times) * 99 // 100]
    return Verdict.PASS, (
        f"{attempts:.2f} attempts and {statements:.1f} statements per commit, p50 {p50:.1f} ms, p99 {p99:.1f} ms"
    )


def _by_retry(facts: Facts) -> list[list[float]]:
    longest = max((len(unit.waits) for unit in facts.units), default=0)
    return [[unit.waits[n] for unit in facts.units if len(unit.waits) > n] for n in range(longest)]


def _attempts(unit: UnitFacts) -> str:
    return "1 attempt" if unit.attempts == 1 else f"{unit.attempts} attempts"


def _times(unit: UnitFacts) -> str:
    return {0: "not", 1: "once", 2: "twice"}.get(unit.effects, f"{unit.effects} times")


def _because(unit: UnitFacts) -> str:
    return f" ({unit.error.partition(':')[0]})" if unit.error else ""
