"""The page itself: templates filled in, with style, scripts and data inside; what it may do is said by hashes.

Whatever a run holds (names, values, errors) may be hostile: templates escape it, data goes in as JSON that cannot end
its element, and the page's own policy lets no script run but the two that it came with.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import importlib.resources
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

import jinja2
import msgspec
from markupsafe import Markup

from lab.history import Json, Operation, Outcome
from lab.report.page.charts import chart_data, epoch_of, evidence_of
from lab.report.page.commands import replay_command, run_command
from lab.report.page.content import Part, Report, ledger_of
from lab.report.witness import PAGE_STYLE, label_of, svg
from lab.verdict import Anomaly, Finding, Verdict

MARKS = {Verdict.PASS: "✔", Verdict.FAIL: "✘", Verdict.INCONCLUSIVE: "?", None: "●"}
SAID = {Outcome.OK: "done", Outcome.FAIL: "failed", Outcome.INFO: "unknown"}
SIGNS = {"clean": "good", "ANOMALY": "bad", "unclear": "doubt"}

MOST_PICTURES = 3
"""Witnesses of a finding that are drawn; the others are told."""

LONGEST_VALUE = 240
"""Characters of a value that are shown."""

SCRIPTS = ("uPlot.iife.min.js", "page.js")
STYLES = ("uPlot.min.css", "page.css")


def page_html(report: Report, *, live: bool = False) -> str:
    """Return the report as one HTML page; a *live* one asks the server that it came from for what is new."""
    scripts = [asset(name) for name in SCRIPTS]
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            live=live,
            policy=policy_of(scripts),
            styles=[*(Markup(asset(name)) for name in STYLES), Markup(PAGE_STYLE)],  # noqa: S704 - our own
            scripts=[Markup(script) for script in scripts],  # noqa: S704 - our own files
            data=Markup(_inert(charts_of(report))),  # noqa: S704 - cannot end its element
            parts=[part_html(report, number) for number in range(len(report.parts))],
        )
    )


def charts_of(report: Report) -> dict[str, Json]:
    """Return the data of all charts, by the name of the run's part on the page."""
    return {f"p{number}": chart_data(part) for number, part in enumerate(report.parts)}


def pieces_of(report: Report) -> dict[str, Markup]:
    """Return what is about all runs, by the id of its element: a live page replaces it piece by piece."""
    return {name: _fragment(name, report=report) for name in ("head", "summary", "studies")}


def pieces_of_part(part: Part, number: int) -> dict[str, Markup]:
    """Return what changes about one run while it goes on, by the id of its element."""
    return {f"p{number}-{name}": _fragment(name, part=part) for name in ("name", "facts", "values", "proof")}


def part_html(report: Report, number: int) -> Markup:
    """Return the frame of one run, with the places of its pieces and charts; a live page appends it when it begins."""
    opened = len(report.parts) <= 2 or report.parts[number].verdict is not Verdict.PASS
    return _fragment("part", number=number, opened=opened, part=report.parts[number])


def policy_of(scripts: Sequence[str]) -> str:
    """Return the Content-Security-Policy: these scripts and no others, and no address but where the page came from."""
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


@functools.cache
def asset(name: str) -> str:
    """Return the text of a file that goes into the page as it is."""
    return importlib.resources.files("lab.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def _inert(data: Json) -> str:
    text = msgspec.json.encode(data).decode()
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _fragment(name: str, **values: object) -> Markup:
    text = _environment().get_template(f"{name}.html").render(**values)
    return Markup(text)  # noqa: S704 - the template has escaped it


@functools.cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("lab.report.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals.update(
        MARKS=MARKS, SAID=SAID, Outcome=Outcome, proof_of=proof_of, ledger_of=ledger_of, plan_of=plan_of,
        run_command=run_command, replay_command=replay_command, evidence=_evidence, sign=_sign, told=_told,
    )  # fmt: skip
    made.filters.update(count="{:,}".format, moments=_moments, ms=_milliseconds, short=_short, rate="{:,.0f}".format)
    return made


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows a finding: *pictures* of anomalies as SVG, each with its anomaly, and the *operations* it names."""

    pictures: tuple[tuple[Anomaly, Markup], ...]
    told: tuple[Anomaly, ...]
    operations: tuple[Operation, ...]


def proof_of(part: Part, finding: Finding) -> Proof:
    """Return the witnesses of a finding, those with the shortest cycles drawn."""
    anomalies = sorted(finding.anomalies, key=lambda anomaly: (not anomaly.cycle, len(anomaly.cycle)))
    drawn = [anomaly for anomaly in anomalies[:MOST_PICTURES] if anomaly.cycle]
    wanted = {*finding.operations, *(index for anomaly in drawn for index in anomaly.operations)}
    found = {o.index: o for o in part.recorded.history.operations if o.index in wanted} if wanted else {}
    labels = dict.fromkeys(wanted, "what was read in the end")  # a check adds it to the operations
    labels |= {index: label_of(operation) for index, operation in found.items()}
    pictures = tuple((anomaly, Markup(svg(anomaly, labels, ""))) for anomaly in drawn)  # noqa: S704 - it escapes
    named = tuple(found[index] for index in finding.operations if index in found)
    return Proof(pictures, tuple(anomalies[len(drawn) :]), named)


def plan_of(part: Part) -> tuple[str, str]:
    """Return the plan as people read it, and as the address of a file to save."""
    text = msgspec.json.format(msgspec.json.encode(part.recorded.run.plan)).decode()
    return text, f"data:application/json;charset=utf-8,{quote(text)}"


def _evidence(part: Part) -> dict[int, list[float]]:
    epoch = epoch_of(part.recorded)
    return {span.step: evidence_of(span, epoch) for span in part.recorded.history.faults}


def _sign(cell: str) -> str:
    return next((style for sign, style in SIGNS.items() if cell.startswith(sign)), "")


def _told(value: Json) -> str:
    return _short(value if isinstance(value, str) else msgspec.json.encode(value).decode())


def _moments(seconds: Sequence[float]) -> list[str]:
    """Return moments as they are told, each once."""
    return list(dict.fromkeys(f"{moment:.2f} s" for moment in seconds))


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _milliseconds(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds >= 9.9995:
        return f"{seconds:.1f} s"
    return f"{seconds * 1000:,.0f} ms" if seconds >= 0.00995 else f"{seconds * 1000:.1f} ms"
