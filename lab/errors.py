"""Errors of the lab: each says whose fault it is and what to do about it.

LabError
├── UsageError              the caller asked for something that does not exist (exit 2)
│   └── MalformedFile       a plan or journal that cannot be read; names the line
├── EnvironmentProblem      this machine cannot run it as it is; the message names the remedy (exit 4)
│   ├── EngineAway          no Docker engine can be asked; what is left of containers waits until one can
│   └── PortTaken           somebody has a port that was drawn; others may be free
├── Unhealthy               the cluster is not as it should be, by no fault of the plan; the message says what is wrong
└── NotCapable              the cluster cannot do what the scenario needs (refused before the run)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LabError(Exception):
    """Root of everything that the lab raises on purpose; *exit_code* is the command line's answer."""

    exit_code = 4


class UsageError(LabError):
    """The request itself is wrong; the message says what would be right."""

    exit_code = 2


class MalformedFile(UsageError):
    """A file that is not what it should be: *path*, *line* (1-based, 0 when no line is to blame), *problem*."""

    def __init__(self, path: str, line: int, problem: str) -> None:
        super().__init__(f"{path}:{line}: {problem}" if line else f"{path}: {problem}")
        self.path = path
        self.line = line
        self.problem = problem


class EnvironmentProblem(LabError):
    """The machine lacks something; *remedy* is one sentence that says what to do."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem = problem
        self.remedy = remedy


class EngineAway(EnvironmentProblem):
    """No Docker engine answers, or not to this user."""


class PortTaken(EnvironmentProblem):
    """Somebody has one of the ports; others may be free."""


class Unhealthy(LabError):
    """The cluster did not become healthy in time, or something of it died by itself; the message says what and why."""


class NotCapable(LabError):
    """The cluster lacks a capability that was asked for."""

    exit_code = 2


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for an unknown *name* of a *kind*, with the nearest known names, or all if none is near."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5) or [n for n in names if name and name in n]
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return UsageError(f"unknown {kind} '{name}': {hint}")
