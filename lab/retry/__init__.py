"""Retries that are right: classify an error, run a unit of work until it is applied, or say what is not known."""

from lab.retry._signs import sqlstate
from lab.retry.classify import Decision, Phase, classify, explain, is_key_violation
from lab.retry.errors import DeadlinePassed, OutcomeUnknown, RetryError
from lab.retry.policy import Backoff, Observation, RetryPolicy
from lab.retry.shape import AlreadyApplied, Policy, Sessions, Work

__all__ = [
    "AlreadyApplied",
    "Backoff",
    "DeadlinePassed",
    "Decision",
    "Observation",
    "OutcomeUnknown",
    "Phase",
    "Policy",
    "RetryError",
    "RetryPolicy",
    "Sessions",
    "Work",
    "classify",
    "explain",
    "is_key_violation",
    "sqlstate",
]
