"""What the faults of a test session did: a line for the terminal, results.json and summary.md for --lab-report.

Standard library only: the plugin imports it before it is known whether anybody uses the lab.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lab.errors import EnvironmentProblem

PROPERTY = "resilience-lab"
"""Name of the user property in which a test's report carries its faults; JUnit XML has it, too."""


class Collected:
    """The reports of all tests that used the lab, from every worker."""

    def __init__(self) -> None:
        self.tests: list[dict[str, Any]] = []
        self._known: dict[str, dict[str, Any]] = {}

    def hear(self, nodeid: str, when: str, outcome: str, properties: Iterable[tuple[str, object]]) -> None:
        """Take in what one phase of a test reports; the worst outcome of its phases counts."""
        if nodeid in self._known:
            if outcome == "failed":
                self._known[nodeid]["outcome"] = "failed" if when == "call" else "error"
            return
        found = [value for name, value in properties if name == PROPERTY]
        if found and when == "call":
            self._known[nodeid] = {"test": nodeid, "outcome": outcome, **json.loads(str(found[-1]))}
            self.tests.append(self._known[nodeid])

    @property
    def line(self) -> str:
        """The whole in one line; empty if no test used the lab."""
        if not self.tests:
            return ""
        faults = [fault for test in self.tests for fault in test["faults"]]
        fired = sum(fault["events"] > 0 for fault in faults)
        about = ", ".join(sorted({test["about"] for test in self.tests}))
        return f"resilience lab: {fired} of {len(faults)} faults struck in {len(self.tests)} tests, on {about}"


def write(folder: Path, collected: Collected, settings: Mapping[str, object]) -> None:
    """Write results.json and summary.md; raise EnvironmentProblem if the folder cannot be written."""
    tests = sorted(collected.tests, key=lambda test: test["test"])
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
