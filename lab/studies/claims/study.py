"""The claims as studies: each alone with its parts, and all of them as one table."""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from lab.clusters.base import Cluster, missing_of
from lab.errors import LabError
from lab.history import Json, Outcome
from lab.observer import Observer
from lab.studies.base import Study, StudyResult, StudyTable
from lab.studies.claims.base import Claim, Measured, Truth, judge
from lab.studies.claims.bench import Bench, bench
from lab.studies.claims.needs import lacking
from lab.verdict import Finding, Verdict, merge

WITHIN: Final = 20.0
"""Seconds that one claim may take before it is unclear."""

PACKAGES: Final = ("sqlalchemy", "asyncpg", "psycopg", "pydantic")

_SAYS, _SEEN = 38, 34


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim, what was measured of it (None: nothing could be), and the finding.

    *left_out* says what the cluster or its server does not have that the claim needs; empty if nothing is missing.
    """

    claim: Claim
    measured: Measured | None
    finding: Finding
    seconds: float
    left_out: str = ""

    @property
    def truth(self) -> Truth:
        """The verdict on the sentence."""
        return self.measured.truth if self.measured else Truth.UNCLEAR


async def ask(claim: Claim, cluster: Cluster, seed: int) -> Answer:
    """Measure one claim on a started cluster, or leave it out; whatever else keeps it from that leaves it unclear."""
    began = time.monotonic()
    measured, trouble, left_out = None, "", ""
    try:
        async with asyncio.timeout(WITHIN), bench(cluster, seed) as place:
            left_out = await _missing(claim, cluster, place)
            if not left_out:
                measured = await claim.measure(place)
    except (SQLAlchemyError, OSError, LabError) as error:
        about = " ".join(str(getattr(error, "orig", None) or error).split())
        trouble = about or type(error).__name__
    finding = judge(claim, measured, left_out or trouble)
    return Answer(claim, measured, finding, time.monotonic() - began, left_out)


async def _missing(claim: Claim, cluster: Cluster, place: Bench) -> str:
    if missing := missing_of(cluster, claim.needs):
        return f"'{cluster.name}' has no {', '.join(missing)}"
    if absent := await lacking(place, sorted(claim.of_server)):
        return f"the server has no {', '.join(absent)}"
    return ""


def study_of(claim: Claim) -> Study:
    """Return the study of one claim."""

    async def run(cluster: Cluster, seed: int, observer: Observer) -> StudyResult:
        answer = await ask(claim, cluster, seed)
        observer.completed(Outcome.OK)
        finding = answer.finding
        return StudyResult(
            f"claims/{claim.name}",
            finding.verdict,
            (finding,),
            _parts_of(answer),
            data_of(cluster.about, [answer]),
            answer.seconds,
        )

    return Study(f"claims/{claim.name}", claim.sentence, (f"it is {claim.expected}",), run, claim.needs)


def study_of_all(claims: Sequence[Claim]) -> Study:
    """Return the study that measures all *claims*, one after the other, as one of them needs the machine for itself."""

    async def run(cluster: Cluster, seed: int, observer: Observer) -> StudyResult:
        answers = []
        for claim in claims:
            observer.phase(claim.name)
            answers.append(await ask(claim, cluster, seed))
            observer.completed(Outcome.OK)
        verdict = merge(answer.finding.verdict for answer in answers if not answer.left_out)
        seconds = sum(answer.seconds for answer in answers)
        return StudyResult(
            "claims", verdict, _findings(answers), table_of(answers), data_of(cluster.about, answers), seconds
        )

    says = ("each sentence is as true as it was when the lab learned it",)
    return Study("claims", "what people believe of SQLAlchemy and its pools, measured", says, run)


def _findings(answers: Sequence[Answer]) -> tuple[Finding, ...]:
    """Return one finding for all that is as expected, and one for each claim that is not; none for what is left out."""
    asked = [answer for answer in answers if not answer.left_out]
    others = [answer.finding for answer in asked if answer.finding.verdict is not Verdict.PASS]
    expected = len(asked) - len(others)
    absent = f", {len(answers) - len(asked)} left out" if len(asked) < len(answers) else ""
    told = Finding("claims", Verdict.PASS, f"{expected} of {len(answers)} are as true as expected{absent}")
    return (told, *others) if expected else tuple(others)


def table_of(answers: Sequence[Answer]) -> StudyTable:
    """Return claim, verdict and decisive figure."""
    rows = [(a.claim.name, "-" if a.left_out else a.truth.value, _figure(a)) for a in answers]
    asked = [answer.truth for answer in answers if not answer.left_out]
    counts = ", ".join(f"{asked.count(truth)} {truth}" for truth in Truth)
    note = "'lab run claims/NAME' shows the sentence, its parts, and what to do instead"
    absent = [f"{answer.claim.name}: left out, as {answer.left_out}" for answer in answers if answer.left_out]
    return StudyTable(("claim", "verdict", "what was seen"), tuple(rows), (counts, *absent, note))


def _figure(answer: Answer) -> str:
    if answer.measured:
        return answer.measured.figure
    return "left out" if answer.left_out else "could not be measured"


def _parts_of(answer: Answer) -> StudyTable:
    parts = answer.measured.parts if answer.measured else ()
    words = {True: "yes", False: "no", None: "unclear"}
    rows = [(textwrap.fill(p.says, _SAYS), words[p.holds], textwrap.fill(p.seen, _SEEN)) for p in parts]
    notes = (f'"{answer.claim.sentence}": {answer.truth}', f"instead: {answer.claim.instead}")
    return StudyTable(("what it says", "holds", "what was seen"), tuple(rows), notes)


def data_of(about: str, answers: Sequence[Answer]) -> Json:
    """Return everything as JSON data, from which the page is made; *about* names the cluster."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return {"about": f"{about}; {versions}", "claims": [_answer_data(answer) for answer in answers]}


def _answer_data(answer: Answer) -> Json:
    claim, measured = answer.claim, answer.measured
    return {
        "claim": claim.name,
        "sentence": claim.sentence,
        "verdict": answer.truth.value,
        "expected": claim.expected.value,
        "figure": measured.figure if measured else None,
        "left_out": answer.left_out or None,
        "needs": [need.value for need in sorted(claim.of_server)],
        "parts": [{"says": p.says, "holds": p.holds, "seen": p.seen} for p in measured.parts] if measured else [],
        "instead": claim.instead,
        "finding": answer.finding.why,
        "seconds": round(answer.seconds, 3),
    }
