"""Forced interleavings: steps of several transactions in a given order, and one oracle for what came of it."""

from lab.interleave.executor import Bounds, Executor, executor
from lab.interleave.oracle import Explanation, explain
from lab.interleave.outcome import Blocked, Fate, Outcome, Seen
from lab.interleave.steps import Schedule, Step
from lab.interleave.text import parse_schedule

__all__ = [
    "Blocked",
    "Bounds",
    "Executor",
    "Explanation",
    "Fate",
    "Outcome",
    "Schedule",
    "Seen",
    "Step",
    "executor",
    "explain",
    "parse_schedule",
]
