"""Judging a recorded run again: the checks need nothing but the journal."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lab.checks import faults_fired
from lab.journal import Journal, read_journal
from lab.scenarios import choose
from lab.verdict import Finding, Verdict, merge


@dataclass(frozen=True, slots=True)
class Recheck:
    """A journal that was judged again: what it holds, and what the checks of today find in it."""

    path: Path
    journal: Journal
    findings: tuple[Finding, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict of today; a journal that was cut is never a pass."""
        return merge(finding.verdict for finding in self.findings)


def recheck(path: Path) -> Recheck:
    """Read a journal and apply the checks of its scenario.

    Raises MalformedFile, naming the line, for a file that is no journal, and UsageError for an unknown scenario.
    """
    journal = read_journal(path)
    (scenario,) = choose([journal.run.scenario])
    if journal.history.complete and journal.history.final is None:
        return Recheck(path, journal, journal.findings)  # it ended early, and says why: there is nothing to judge
    findings = tuple(check(journal.history) for check in (faults_fired(), *scenario.expect))
    return Recheck(path, journal, findings)
