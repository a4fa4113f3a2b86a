"""The exploration as a matrix for people and as JSON for machines; and the command that repeats one case."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypedDict

from rich.table import Table
from rich.text import Text

from lab.explore.case import SAID, Case, words
from lab.explore.explorer import Exploration
from lab.explore.moments import ORDER
from lab.verdict import Verdict, merge

LEAST_LABEL = 13
"""Characters of a statement that the matrix shows at least."""

COLUMN = 6
"""Characters of an action's column."""

_SIDES = {"request": "req", "reply": "rep"}
_SHORT = {
    "done": "done",
    "failed": "fail",
    "unknown": "unkn",
    "lost": "LOST",
    "duplicate": "DUPL",
    "phantom": "PHAN",
    "fail": "FAIL",
    "inconclusive": "?",
}
"""Words of the matrix: narrow, because a unit has many moments and there are many actions."""

STYLES = {Verdict.PASS: "green", Verdict.FAIL: "bold red", Verdict.INCONCLUSIVE: "yellow"}


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line that asked, as far as a case depends on it."""

    unit: str
    effects: str
    options: tuple[str, ...] = ()

    def repeat(self, case: Case) -> str:
        """Return the command that repeats exactly *case*."""
        return shlex.join(["lab", "explore", self.unit, "--effects", self.effects, *self.options, "--only", case.only])


class StepJson(TypedDict):
    """One statement of the clean run."""

    number: int
    connection: int
    statement: str
    sql: str


class EvidenceJson(TypedDict):
    """The proxy's record of what struck."""

    statement: str
    sql: str
    forwarded: bool
    answer: str | None


class CaseJson(TypedDict):
    """One judged case."""

    moment: int
    action: str
    said: str
    error: str | None
    effects: int
    ledger: str
    connections_left: int
    seconds: float
    verdict: str
    why: str
    reproduce: str
    evidence: list[EvidenceJson]


class ExplorationJson(TypedDict):
    """The whole exploration."""

    unit: str
    about: str
    verdict: str
    seconds: float
    moments: list[StepJson]
    cases: list[CaseJson]


def verdict_of(found: Exploration) -> Verdict:
    """Return the worst verdict of all cases."""
    return merge(case.verdict for case in found.cases)


def lines(found: Exploration, asked: Asked) -> Iterator[Text]:
    """Yield what is not as it should be, each with the command that repeats it, and the last line."""
    for case in found.cases:
        if case.verdict is not Verdict.PASS:
            head = Text(f"{case.only} {case.verdict.value}", STYLES[case.verdict])
            yield Text.assemble(head, f": {case.why}")
            yield Text(f"  {asked.repeat(case)}")
    yield last_line(found)


def matrix(found: Exploration, width: int) -> Table:
    """Return moments x actions; in each cell what the unit said, or what was wrong in capitals.

    Statements are cut to *width* characters in all; columns are never left out, so that it may become wider.
    """
    cells = {(case.step.number, case.strike): case for case in found.cases}
    columns = [strike for strike in ORDER if any(case.strike == strike for case in found.cases)]
    others = len("000 ") + 1 + COLUMN * len(columns)
    room = max(LEAST_LABEL, width - others)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.width = room + others if room + others > width else None
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("moment", no_wrap=True)
    for strike in columns:
        table.add_column(f"{strike.action.replace('black_', '')}\n@{_SIDES[strike.side]}", no_wrap=True)
    shown = {case.step.number for case in found.cases}
    for step in (step for step in found.steps if step.number in shown):
        label = step.label if len(step.label) <= room else f"{step.label[: room - 3]}..."
        table.add_row(str(step.number), Text(label), *(_cell(cells.get((step.number, one))) for one in columns))
    return table


def last_line(found: Exploration) -> Text:
    """Return the verdict and the figures in one line."""
    verdict = verdict_of(found)
    counts = {one: sum(case.verdict is one for case in found.cases) for one in Verdict}
    rate = len(found.cases) / max(found.seconds, 1e-9)
    figures = ", ".join(f"{count} {one.value}" for one, count in counts.items() if count)
    return Text.assemble(
        (verdict.value, STYLES[verdict]),
        f": {len(found.cases)} cases at {len(found.steps)} moments ({figures or 'none'}) ",
        f"in {found.seconds:.1f} s, {rate:.0f} a second",
    )


def to_json(found: Exploration, asked: Asked) -> ExplorationJson:
    """Return the same for machines."""
    return {
        "unit": asked.unit,
        "about": found.about,
        "verdict": verdict_of(found).value,
        "seconds": round(found.seconds, 3),
        "moments": [
            {"number": step.number, "connection": step.connection, "statement": step.kind, "sql": step.sql}
            for step in found.steps
        ],
        "cases": [_case_to_json(case, asked) for case in found.cases],
    }


def _cell(case: Case | None) -> Text:
    if case is None:
        return Text("")
    if case.verdict is Verdict.PASS:
        return Text(_SHORT[SAID[case.said]], STYLES[Verdict.PASS])
    return Text(_SHORT.get(case.ledger, _SHORT[case.verdict.value]), STYLES[case.verdict])


def _case_to_json(case: Case, asked: Asked) -> CaseJson:
    ran = case.ran
    return {
        "moment": case.step.number,
        "action": str(case.strike),
        "said": SAID[case.said],
        "error": words(ran.error) if ran.error else None,
        "effects": ran.effects,
        "ledger": case.ledger,
        "connections_left": ran.left,
        "seconds": round(ran.seconds, 6),
        "verdict": case.verdict.value,
        "why": case.why,
        "reproduce": asked.repeat(case),
        "evidence": [
            {"statement": one.statement, "sql": one.sql, "forwarded": one.forwarded, "answer": one.answer}
            for one in ran.firings
        ],
    }
