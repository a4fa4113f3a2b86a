"""What a report is about, as values: the runs of scenarios with their journals and timelines, and the studies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.checks.ledger import LEDGER, WRONG, cells_of
from lab.errors import MalformedFile, UsageError
from lab.history import History, Outcome
from lab.journal import Journal, read_journal
from lab.replay import recheck
from lab.report.figures import Figures, figures_of
from lab.report.page.bins import MOST_BINS, Bins, Timeline
from lab.runner import Result
from lab.scenarios import SCENARIOS
from lab.scenarios.rehearsals import PREFIX, is_rehearsal, rehearsed
from lab.studies.base import StudyResult
from lab.suite import Suite
from lab.verdict import Finding, Verdict, merge

ORDER = {Verdict.FAIL: 0, Verdict.INCONCLUSIVE: 1, Verdict.PASS: 2}
"""What needs attention comes first."""

FEWEST_BINS, OPERATIONS_OF_A_BIN = 48, 20
"""A timeline has as many bins as give each so many operations on average, yet not fewer than these."""

ROWS = 16
"""Bins of the timeline as a table."""


@dataclass(frozen=True, slots=True)
class Part:
    """A run of a scenario. *verdict* is None while it goes on; *remark* says what a reader has to know before all.

    *coarse* is the timeline in so few bins that it can be read as a table.
    """

    title: str
    verdict: Verdict | None
    findings: tuple[Finding, ...]
    recorded: Journal
    timeline: Timeline
    coarse: Timeline
    figures: Figures
    file: str = ""
    remark: str = ""

    @property
    def name(self) -> str:
        """The scenario's name."""
        return self.recorded.run.scenario

    @property
    def seconds(self) -> float:
        """The time of the last thing that was recorded, in seconds since the start."""
        recorded = self.recorded
        marks = [phase.at for phase in recorded.phases] + [span.healed for span in recorded.history.faults]
        return max([self.timeline.last, *marks, *(gauge.at for gauge in recorded.gauges[-1:]), *self.timeline.at[-1:]])


@dataclass(frozen=True, slots=True)
class Report:
    """Everything on a page. *about* says what it ran on; *going_on* is what a live run does now, or empty."""

    about: str
    parts: tuple[Part, ...]
    studies: tuple[StudyResult, ...] = ()
    refused: tuple[tuple[str, tuple[str, ...]], ...] = ()
    titles: Mapping[str, str] | None = None
    going_on: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all."""
        return merge(self.verdicts)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Those of all runs that have ended, then of the studies."""
        ended = [part.verdict for part in self.parts if part.verdict is not None]
        return (*ended, *(study.verdict for study in self.studies))

    @property
    def counted(self) -> Counter[Verdict]:
        """How often each verdict was reached."""
        return Counter(self.verdicts)


def report_of_suite(suite: Suite, titles: Mapping[str, str]) -> Report:
    """Return the report of a suite that was just run; *titles* says what each scenario and study is about."""
    parts = tuple(part_of_result(result, titles.get(result.scenario, "")) for result in suite.results)
    return Report(f"{suite.about} · seed {suite.seed}", parts, suite.studies, suite.refused, titles)


def part_of_result(result: Result, title: str) -> Part:
    """Return the part about one result. Raises ValueError for a result without its journal's content."""
    if result.recorded is None:
        raise ValueError(f"the result of {result.scenario} does not hold what its journal holds")
    return part_of(result.recorded, result.findings, title, result.journal.name)


def report_of_journals(paths: Iterable[Path]) -> Report:
    """Return the report of recorded runs, judged again with the checks of today.

    Runs of scenarios that are not among the shipped ones keep the findings of their time. Raises MalformedFile, naming
    the line, for a file that is no journal.
    """
    parts = tuple(map(part_of_journal, paths))
    about = " · ".join(dict.fromkeys(_place(part.recorded) for part in parts))
    return Report(about, parts)


def part_of_journal(path: Path) -> Part:
    """Return the part about one recorded run; see `report_of_journals`."""
    try:
        judged = recheck(path)
        recorded, findings, remark = judged.journal, judged.findings, ""
    except MalformedFile:
        raise
    except UsageError:  # somebody's own scenario
        recorded = read_journal(path)
        findings, remark = recorded.findings, "This scenario is not a shipped one: its findings are those of the time."
    if not recorded.history.complete:
        at = _last_moment(recorded)
        remark = f"Incomplete: the journal was cut after {at:.2f} s. It is reported up to there. {remark}".rstrip()
    return part_of(recorded, findings, _title(recorded.run.scenario), str(path), remark)


def _title(scenario: str) -> str:
    if is_rehearsal(scenario):
        return rehearsed(scenario.removeprefix(PREFIX)).title
    return SCENARIOS[scenario].title if scenario in SCENARIOS else ""


def part_of(recorded: Journal, findings: tuple[Finding, ...], title: str, file: str = "", remark: str = "") -> Part:
    """Return the part about a run from what its journal holds and what was found in it."""
    bins = Bins()
    bins.add(recorded.history.operations)
    ordered = tuple(sorted(findings, key=lambda finding: ORDER[finding.verdict]))
    verdict = merge(finding.verdict for finding in findings)
    figures = figures_of(recorded.history)
    return Part(title, verdict, ordered, recorded, fine(bins), bins.timeline(ROWS), figures, file, remark)


def fine(bins: Bins) -> Timeline:
    """Return the timeline for the eye: bins wide enough to hold some operations each."""
    return bins.timeline(min(MOST_BINS, max(FEWEST_BINS, bins.count // OPERATIONS_OF_A_BIN)))


def _place(recorded: Journal) -> str:
    return f"{recorded.run.cluster.partition(': ')[2] or recorded.run.cluster} · seed {recorded.run.seed}"


def _last_moment(recorded: Journal) -> float:
    operations = recorded.history.operations
    return max((operation.completed or operation.invoked for operation in operations), default=0.0)


@dataclass(frozen=True, slots=True)
class Entry:
    """A cell of the ledger: how many units, and what that is called; *wrong* says what it means if it is an error."""

    units: int
    word: str
    wrong: str


def ledger_of(history: History) -> dict[Outcome, list[Entry]] | None:
    """Return a row for each outcome, with what was found 0, 1, and 2 or more times; None if it was never read back."""
    if history.final is None:
        return None
    found = cells_of(history.writes, history.final.effects)
    return {
        outcome: [
            Entry(found[outcome, times], word, _wrong(word)) for times in range(3) if (word := LEDGER[outcome, times])
        ]
        for outcome in Outcome
    }


def _wrong(word: str) -> str:
    return WRONG.get(word, "")
