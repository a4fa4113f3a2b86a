"""The scorecard for people and for machines: terminal, JUnit, and a badge."""

from __future__ import annotations

from xml.etree import ElementTree as Xml
from xml.sax.saxutils import escape

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from lab.report.terminal import MARKS, STYLES
from lab.validate.scorecard import CaseResult, Scorecard
from lab.verdict import Verdict

COLOURS = {Verdict.PASS: "#2e7d32", Verdict.FAIL: "#c62828", Verdict.INCONCLUSIVE: "#9e7700"}
SAYS = {Verdict.PASS: "accepted", Verdict.FAIL: "rejected", Verdict.INCONCLUSIVE: "inconclusive"}
LABEL = "retry policy"
LETTER = 6.6
"""Width of a letter of a badge, in pixels."""


def scorecard(card: Scorecard) -> Group:
    """Return what a terminal shows: a line a dimension, then what did not pass and why."""
    table = Table(title=card.about, title_style="dim", box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in ("dimension", "verdict", "cases passed"):
        table.add_column(heading, no_wrap=True)
    for name, verdict in card.dimensions.items():
        cases = [case for case in card.cases if case.dimension == name]
        passed = sum(case.verdict is Verdict.PASS for case in cases)
        shown = Text(f"{MARKS[verdict]} {verdict.value}", style=STYLES[verdict])
        table.add_row(name, shown, f"{passed} of {len(cases)}")
    bad = [line for case in card.cases if case.verdict is not Verdict.PASS for line in complaint(case)]
    costs = [Text(f"cost: {case.why}", style="dim") for case in card.cases if case.dimension == "cost"]
    last = Text(f"{card.policy}: {SAYS[card.verdict]} ({card.seconds:.1f} s)", style=STYLES[card.verdict])
    return Group(table, *bad, *costs, last)


def case_line(case: CaseResult) -> Text:
    """Return one line about a case."""
    mark = (f"{MARKS[case.verdict]} {case.verdict.value:<12}", STYLES[case.verdict])
    return Text.assemble(mark, f" {case.dimension:<9} {case.case:<43} {case.seconds:5.1f} s  ", (case.said, "dim"))


def complaint(case: CaseResult) -> list[Text]:
    """Return the lines about a case that did not pass: why, and what the fault did."""
    head = Text.assemble((f"{MARKS[case.verdict]} {case.dimension}, {case.case}: ", STYLES[case.verdict]), case.why)
    return [head, *(Text(f"    {line}", style="dim") for line in case.evidence[:3])]


def junit(card: Scorecard) -> str:
    """Return the scorecard as JUnit XML: a test case for each case, a class for each dimension."""
    wrong = sum(case.verdict is Verdict.FAIL for case in card.cases)
    doubtful = sum(case.verdict is Verdict.INCONCLUSIVE for case in card.cases)
    counts = {"tests": str(len(card.cases)), "failures": str(wrong), "errors": str(doubtful)}
    suite = Xml.Element("testsuite", {"name": f"lab validate {card.policy}", **counts, "time": f"{card.seconds:.3f}"})
    for case in card.cases:
        attributes = {"classname": case.dimension, "name": case.case, "time": f"{case.seconds:.3f}"}
        element = Xml.SubElement(suite, "testcase", attributes)
        if case.verdict is not Verdict.PASS:
            kind = "failure" if case.verdict is Verdict.FAIL else "error"
            told = Xml.SubElement(element, kind, {"message": _plain(case.why), "type": case.verdict.value})
            told.text = _plain("\n".join(case.evidence))
    Xml.indent(suite)
    return Xml.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def badge(card: Scorecard) -> str:
    """Return an SVG badge that says whether the policy is accepted; it loads nothing."""
    said = SAYS[card.verdict]
    left, right = (round(len(words) * LETTER) + 12 for words in (LABEL, said))
    title = escape(", ".join(f"{name} {verdict.value}" for name, verdict in card.dimensions.items()))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" '
        f'aria-label="{LABEL}: {said}"><title>{title}</title>'
        f'<rect width="{left}" height="20" fill="#444"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{COLOURS[card.verdict]}"/>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" text-anchor="middle">'
        f'<text x="{left / 2:g}" y="14">{LABEL}</text><text x="{left + right / 2:g}" y="14">{said}</text></g></svg>\n'
    )


def _plain(words: str) -> str:
    """Return *words* without the control characters that XML does not allow."""
    return "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in words)
