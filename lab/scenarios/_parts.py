"""What the shipped scenarios share: policies, workloads and what they claim of the service."""

from __future__ import annotations

from lab.checks import answers, recovers, succeeds
from lab.retry import Backoff, RetryPolicy
from lab.verdict import Check
from lab.workloads.bank import Bank

right = RetryPolicy(attempts=40, deadline=10.0, backoff=Backoff(0.01, 0.3), later=Backoff(0.05, 0.5))
"""The policy that hides every fault of the suite that is short enough: exactly once, with a deadline of 10 s."""

bank = Bank(accounts=16)
"""Accounts enough that transfers seldom meet."""


def served(*, longest: float = 12.0) -> tuple[Check, ...]:
    """Return the checks of an application that does everything that it is asked, in time."""
    return (succeeds(), answers(within=longest))


def unnoticed(*, within: float = 3.0, longest: float = 12.0) -> tuple[Check, ...]:
    """Return the checks of faults that users must not see: all is done, soon again, and nobody hangs."""
    return (*served(longest=longest), recovers(within=within))
