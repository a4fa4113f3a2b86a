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
from lab.studies.claims.bench import bench
from lab.verdict import Finding, Verdict, merge

WITHIN: Final = 20.0
"""Seconds that one claim may take before it is unclear."""

PACKAGES: Final = ("sqlalchemy", "asyncpg", "psycopg", "pydantic")

_SAYS, _SEEN = 38, 34


@dataclass(frozen=True, slots=True)
class Answer:
    """A claim, what was measured of it (None: nothing could be), and the finding."""

    claim: Claim
    measured: Measured | None
    finding: Finding
    seconds: float

    @property
    def truth(self) -> Truth:
        """The verdict on the sentence."""
        return self.measured.truth if self.measured else Truth.UNCLEAR


async def ask(claim: Claim, cluster: Cluster, seed: int) -> Answer:
    """Measure one claim on a started cluster; what keeps it from being measured leaves it unclear."""
    began = time.monotonic()
    measured, trouble = None, ""
    if missing := missing_of(cluster, claim.needs):
        trouble = f"the cluster '{cluster.name}' does not have {', '.join(missing)}"
    else:
        try:
            async with asyncio.timeout(WITHIN), bench(cluster, seed) as place:
                measured = await claim.measure(place)
        except (SQLAlchemyError, OSError, LabError) as error:
            about = " ".join(str(getattr(error, "orig", None) or error).split())
            trouble = about or type(error).__name__
    return Answer(claim, measured, judge(claim, measured, trouble), time.monotonic() - began)


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
        verdict = merge(answer.finding.verdict for answer in answers)
        seconds = sum(answer.seconds for answer in answers)
        return StudyResult(
            "claims", verdict, _findings(answers), table_of(answers), data_of(cluster.about, answers), seconds
        )

    says = ("each sentence is as true as it was when the lab learned it",)
    return Study("claims", "what people believe of SQLAlchemy and its pools, measured", says, run)


def _findings(answers: Sequence[Answer]) -> tuple[Finding, ...]:
    """Return one finding for all that is as expected, and one for each claim that is not."""
    others = [answer.finding for answer in answers if answer.finding.verdict is not Verdict.PASS]
    expected = len(answers) - len(others)
    told = Finding("claims", Verdict.PASS, f"{expected} of {len(answers)} are as true as expected")
    return (told, *others) if expected else tuple(others)


def table_of(answers: Sequence[Answer]) -> StudyTable:
    """Return claim, verdict and decisive figure."""
    rows = [
        (a.claim.name, a.truth.value, a.measured.figure if a.measured else "could not be measured") for a in answers
    ]
    counts = ", ".join(f"{sum(a.truth is truth for a in answers)} {truth}" for truth in Truth)
    note = "'lab run claims/NAME' shows the sentence, its parts, and what to do instead"
    return StudyTable(("claim", "verdict", "what was seen"), tuple(rows), (counts, note))


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
        "parts": [{"says": p.says, "holds": p.holds, "seen": p.seen} for p in measured.parts] if measured else [],
        "instead": claim.instead,
        "finding": answer.finding.why,
        "seconds": round(answer.seconds, 3),
    }
