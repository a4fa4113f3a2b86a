"""What the pytest plugin says at the end of a session, and the report that it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab._test_report import Collected, Phase, write


class Reporter:
    """Hears of all tests, in the one process that prints: not in the workers of pytest-xdist."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._collected = Collected()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in a phase of a test."""
        outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
        why = _why(report) if report.failed else ""
        phase = Phase(report.nodeid, str(report.when), outcome, why, report.duration, report.user_properties)
        self._collected.hear(phase)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say what struck, and write the report."""
        line, folder = self._collected.line, self._config.getoption("--lab-report")
        if line:
            terminalreporter.write_line(line)
        if folder is not None:
            settings = {
                "cluster": self._config.getoption("--lab-cluster"),
                "seed": self._config.getoption("--lab-seed"),
            }
            write(folder, self._collected, settings)
            self._write_pages(folder)

    def _write_pages(self, folder: Path) -> None:
        if self._collected.tests:
            from lab.testing.report import write_pages

            about, seed = self._collected.about, self._config.getoption("--lab-seed")
            write_pages(folder, self._collected.ordered, f"{about} · seed {seed}")


def _why(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(getattr(crash, "message", report.longrepr)).strip().partition("\n")[0]
