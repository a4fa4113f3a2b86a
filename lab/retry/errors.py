"""Errors of a retry policy.

LabError
└── RetryError              the policy gave up; *attempts*, *seconds*; the last error is the cause
    ├── OutcomeUnknown      the unit may or may not be applied: look it up, or repeat it with the same key
    └── DeadlinePassed      the deadline struck inside an attempt; certainly not applied (also a TimeoutError)

A policy that gives up on certain failures raises the last of them itself, with a note of attempts and seconds.
"""

from __future__ import annotations

from lab.errors import LabError


class RetryError(LabError):
    """A policy gave up after *attempts* attempts and *seconds* seconds."""

    def __init__(self, message: str, attempts: int, seconds: float) -> None:
        super().__init__(f"{message} ({attempts} {'attempt' if attempts == 1 else 'attempts'}, {seconds:.3f} s)")
        self.attempts = attempts
        self.seconds = seconds


class OutcomeUnknown(RetryError):
    """An acknowledgement was lost: the unit may or may not be applied; the cause is the error that the client saw."""


class DeadlinePassed(RetryError, TimeoutError):
    """The policy's deadline struck before COMMIT was asked: the unit is certainly not applied."""
