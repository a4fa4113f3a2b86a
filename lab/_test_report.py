"""What the faults of a test session did: a line for the terminal, and what --lab-report leaves.

Standard library only: the plugin imports it before it is known whether anybody uses the lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import EnvironmentProblem

PROPERTY = "resilience-lab"
"""Name of the user property in which a test's report carries its faults; JUnit XML has it, too."""


@dataclass(frozen=True, slots=True)
class Phase:
    """What one phase (*when*: setup, call, teardown) of a test reports; *why* is its message if it failed."""

    nodeid: str
    when: str
    outcome: str
    why: str
    seconds: float
    properties: Sequence[tuple[str, object]]


class Collected:
    """The reports of all tests that used the lab, from every worker."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []
        self._known: dict[str, dict[str, Any]] = {}

    def hear(self, phase: Phase) -> None:
        """Take in what one phase of a test reports; the worst outcome of its phases counts."""
        known = self._known.get(phase.nodeid)
        if known is not None and phase.outcome == "failed":
            known.update(outcome="failed" if phase.when == "call" else "error", why=phase.why)
        found = [json.loads(str(value)) for name, value in phase.properties if name == PROPERTY]
        if not found or phase.when != "call":
            return
        if known is not None:  # from another worker
            known["journals"] = list(dict.fromkeys([*known["journals"], *found[-1]["journals"]]))
            return
        told = {"outcome": phase.outcome, "why": phase.why, "seconds": round(phase.seconds, 3)}
        self._known[phase.nodeid] = {"test": phase.nodeid, **told, **found[-1]}
        self.tests.append(self._known[phase.nodeid])

    @property
    def ordered(self) -> list[dict[str, Any]]:
        """All of them by name."""
        return sorted(self.tests, key=lambda test: test["test"])

    @property
    def about(self) -> str:
        """What they ran on."""
        return ", ".join(sorted({test["about"] for test in self.tests}))

    @property
    def line(self) -> str:
        """The whole in one line; empty if no test used the lab."""
        if not self.tests:
            return ""
        faults = [fault for test in self.tests for fault in test["faults"]]
        fired = sum(fault["events"] > 0 for fault in faults)
        return f"resilience lab: {fired} of {len(faults)} faults struck in {len(self.tests)} tests, on {self.about}"


def write(folder: Path, collected: Collected, settings: Mapping[str, object]) -> None:
    """Write results.json and summary.md; raise EnvironmentProblem if the folder cannot be written."""
    tests = collected.ordered
    try:
        folder.mkdir(parents=True, exist_ok=True)
        data = json.dumps({**settings, "tests": tests}, indent=2)
        (folder / "results.json").write_text(data + "\n", encoding="utf-8")
        (folder / "summary.md").write_text(_markdown(collected.line, tests), encoding="utf-8")
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot write {folder}: {error.strerror}", "name another with --lab-report"
        ) from error


def _markdown(line: str, tests: Iterable[Mapping[str, Any]]) -> str:
    rows = [f"| `{test['test'].replace('|', '/')}` | {test['outcome']} | {_cell(test['faults'])} |" for test in tests]
    return "\n".join([f"# {line or 'resilience lab: no test used it'}", "", *_HEAD, *rows, ""])


_HEAD = ("| test | outcome | faults |", "|---|---|---|")


def _cell(faults: Iterable[Mapping[str, Any]]) -> str:
    return "; ".join(f"{one['fault']}: {one['events']} events ({one['note']})" for one in faults) or "none"
