"""What a person sees: progress while a suite runs, and a table at its end."""

from __future__ import annotations

import time

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from lab.history import FaultSpan, Outcome
from lab.replay import Recheck
from lab.report.figures import figures
from lab.runner import Result
from lab.scenario import Scenario
from lab.studies.base import Study, StudyResult
from lab.suite import Suite
from lab.verdict import Verdict

STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}
MARKS = {Verdict.PASS: "✔", Verdict.FAIL: "✘", Verdict.INCONCLUSIVE: "?"}
_SIGNS = {"clean": "green", "ANOMALY": "bold", "unclear": "yellow"}


class Display:
    """A line for each scenario that has ended and, on a terminal, one that moves for the one that runs.

    Use as a context manager around the suite.
    """

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        self._total = total
        self._number = 0
        self._scenario: Scenario | Study | None = None
        self._phase = "starting"
        self._armed: list[str] = []
        self._fired = 0
        self._operations = 0
        self._since = time.monotonic()
        self._spinner = Spinner("dots")
        self._live = Live(self, console=console, transient=True, refresh_per_second=8) if console.is_terminal else None

    def __enter__(self) -> Display:
        """Begin to show."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop showing."""
        if self._live is not None:
            self._live.stop()

    def __rich__(self) -> RenderableType:
        """Draw what is going on now."""
        if self._scenario is None:
            self._spinner.update(text=Text(f" {self._phase}"))
            return self._spinner
        rate = self._operations / max(0.001, time.monotonic() - self._since)
        head = Text.assemble(
            f" [{self._number}/{self._total}] ",
            (self._scenario.name, "bold"),
            f": {self._phase}, {rate:,.0f} operations/s",
        )
        if self._fired:
            head.append(f", {self._fired} faults fired")
        self._spinner.update(text=head)
        return Group(self._spinner, *(Text(f"      ⚡ {fault}", style="red") for fault in self._armed[:3]))

    def phase(self, name: str) -> None:
        """Show the phase."""
        self._phase = name

    def completed(self, outcome: Outcome) -> None:  # noqa: ARG002 - the rate counts every outcome
        """Count an operation."""
        self._operations += 1

    def armed(self, fault: str) -> None:
        """Show a fault that is in force."""
        self._armed.append(fault)

    def healed(self, span: FaultSpan) -> None:
        """Take a fault away."""
        if span.fault in self._armed:
            self._armed.remove(span.fault)
        self._fired += span.fired

    def scenario_begins(self, scenario: Scenario | Study) -> None:
        """Turn to the next scenario."""
        self._scenario, self._number = scenario, self._number + 1
        self._armed, self._fired, self._operations, self._since = [], 0, 0, time.monotonic()

    def scenario_ends(self, result: Result | StudyResult) -> None:
        """Print how it ended."""
        title = self._scenario.title if self._scenario else ""
        self._console.print(verdict_line(result, title), highlight=False, no_wrap=True, overflow="ellipsis")
        for line in complaints(result):
            self._console.print(line, highlight=False)
        self._scenario, self._phase = None, "between scenarios"

    def study_begins(self, study: Study) -> None:
        """Turn to the next study."""
        self.scenario_begins(study)

    def study_ends(self, result: StudyResult) -> None:
        """Print how it ended."""
        self.scenario_ends(result)


def verdict_line(result: Result | StudyResult, title: str) -> Text:
    """Return one line about a result."""
    style = STYLES[result.verdict]
    mark = (f"{MARKS[result.verdict]} {result.verdict.value:<12}", style)
    name = result.scenario if isinstance(result, Result) else result.name
    return Text.assemble(mark, f" {name:<17} {result.seconds:5.1f} s  ", (title, "dim"))


def complaints(result: Result | StudyResult) -> list[Text]:
    """Return a line for each check that did not pass."""
    return [
        Text.assemble("    ", (f"{finding.check}: {finding.why}", STYLES[finding.verdict]))
        for finding in result.findings
        if finding.verdict is not Verdict.PASS
    ]


def summary_table(suite: Suite) -> Table:
    """Return the table at the end of a run; it fits into 80 columns."""
    table = Table(
        title=f"{suite.about} · seed {suite.seed}",
        title_style="dim",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in ("scenario", "verdict"):
        table.add_column(heading, no_wrap=True)
    headings = ("ok/fail/\nunknown", "attempts\n/commit", "p50/p99\nms", "recovery\ns", "evidence\nevents")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for result in suite.results:
        table.add_row(*_row(result))
    return table


def _row(result: Result) -> list[str | Text]:
    shown = figures(result)
    return [
        result.scenario,
        Text(result.verdict.value, style=STYLES[result.verdict]),
        f"{shown.ok:,}/{shown.fail:,}/{shown.info:,}",
        "-" if shown.attempts_per_commit is None else f"{shown.attempts_per_commit:.2f}",
        f"{_milliseconds(shown.p50)}/{_milliseconds(shown.p99)}",
        "-" if shown.recovery is None else f"{shown.recovery:.2f}",
        f"{sum(span.events for span in result.history.faults):,}" if result.history.planned else "-",
    ]


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return f"{seconds * 1000:,.0f}" if seconds < 9.9995 else f"{seconds:.1f} s"  # the table has 80 columns


def recheck_lines(judged: Recheck) -> Group:
    """Return what a journal shows when it is judged again: the verdict, then every finding."""
    run, history = judged.journal.run, judged.journal.history
    head = Text.assemble(
        (f"{MARKS[judged.verdict]} {judged.verdict.value:<12}", STYLES[judged.verdict]),
        f" {run.scenario}, seed {run.seed}, {len(history.operations):,} operations",
        "" if history.complete else ", cut: judged up to there",
    )
    findings = [Text(f"    {f.check}: {f.why}", style=STYLES[f.verdict]) for f in judged.findings]
    return Group(head, *findings)


def refused_lines(suite: Suite) -> list[Text]:
    """Return what the cluster was not able to run, and what it lacks for that."""
    if not suite.refused:
        return []
    lacks = sorted({need for _, needs in suite.refused for need in needs})
    names = ", ".join(name for name, _ in suite.refused)
    told = f"{len(suite.refused)} not run, as '{suite.cluster}' has no {', '.join(lacks)}: {names}"
    return [Text(told, style="dim")]


def study_tables(suite: Suite) -> list[RenderableType]:
    """Return what each study has measured: its table, which fits into 80 columns, and the sentences below it."""
    parts: list[RenderableType] = []
    for result in suite.studies:
        parts += [_study_table(suite, result), *_notes(result)]
    return parts


def _study_table(suite: Suite, result: StudyResult) -> Table:
    table = Table(
        title=f"{result.name} · {suite.about}",
        title_style="dim",
        header_style="bold",
        box=SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
    )
    for heading in result.table.columns:
        table.add_column(heading, no_wrap=True)
    for row in result.table.rows:
        table.add_row(*(Text(cell, style=_style(cell)) for cell in row))
    return table


def _style(cell: str) -> str:
    return next((style for sign, style in _SIGNS.items() if cell.startswith(sign)), "")


def _notes(result: StudyResult) -> list[Text]:
    found = [
        Text(f"{MARKS[finding.verdict]} {finding.check}: {finding.why}", style=STYLES[finding.verdict])
        for finding in result.findings
    ]
    return [*(Text(note, style="dim") for note in result.table.notes), *found]


def last_line(suite: Suite) -> Text:
    """Return the sentence that ends a run."""
    said = ", ".join(f"{suite.verdicts.count(verdict)} {verdict.value}" for verdict in Verdict)
    what = [f"{len(suite.results)} scenarios"] if suite.results or not suite.studies else []
    what += [f"{len(suite.studies)} studies"] if suite.studies else []
    return Text(f"{', '.join(what)}: {said}", style=STYLES[suite.verdict])
