"""The page about all claims, a pure function of the data of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from lab.history import Json
from lab.studies.claims.unmeasured import UNMEASURED

_INTRODUCTION = """\
# What people believe, measured

Sentences of a guide to SQLAlchemy 2.0 that is copied a lot, each put to the test: `lab run claims` measures them all on
a real database (in some ten seconds), `lab run claims/NAME` one. A sentence is taken apart into what can be seen to
hold or not; it is **true** if all of that holds, **false** if none of it does, and **partly** true otherwise.

Nothing here is written by hand but the sentences and the advice: the page is made of a run, and a test holds it against
a fresh one. When a library changes, `lab run claims` fails and says what was seen. To make the page anew:

```console
lab run claims --json > claims.json; python -m lab.studies.claims claims.json > docs/claims.md
```

On a cluster of CockroachDB the same is expected. What a claim *needs* that not every server has is asked of the server
before, and a claim that the server cannot show is left out, with the reason.

Times are told as ratios only, and they and percentages are not compared; verdicts and parts are.
"""

_HOLDS = {True: "yes", False: "no", None: "unclear"}


class PartData(msgspec.Struct, frozen=True):
    """A part as the data of a run has it."""

    says: str
    holds: bool | None
    seen: str


class ClaimData(msgspec.Struct, frozen=True):
    """A claim as the data of a run has it.

    *figure* is None if it could not be measured; *needs* names what a server may not have, and *left_out* says what of
    that, or of the cluster, was missing in this run.
    """

    claim: str
    sentence: str
    verdict: str
    figure: str | None
    parts: tuple[PartData, ...]
    instead: str
    needs: tuple[str, ...] = ()
    left_out: str | None = None

    @property
    def seen(self) -> str:
        """The cell of the table."""
        return self.figure or (f"left out, as {self.left_out}" if self.left_out else "could not be measured")


class RunData(msgspec.Struct, frozen=True):
    """The data of the study `claims`: *about* names cluster and versions."""

    about: str
    claims: tuple[ClaimData, ...]


def read(data: Json) -> RunData:
    """Return the data of a run, typed; raise msgspec.ValidationError if it is something else."""
    return msgspec.convert(data, RunData)


def to_markdown(run: RunData) -> str:
    """Return the page."""
    rows = [(f"[{one.claim}](#{one.claim})", one.verdict, one.seen) for one in run.claims]
    parts = [_INTRODUCTION, f"Measured on {run.about}.\n", _table(("claim", "verdict", "what was seen"), rows)]
    parts += [_section(one) for one in run.claims]
    parts.append("## Not measured\n\n" + _table(("sentence", "why not"), UNMEASURED))
    return "\n".join(parts)


def _section(one: ClaimData) -> str:
    rows = [(part.says, _HOLDS[part.holds], part.seen) for part in one.parts]
    table = _table(("what it says", "holds", "what was seen"), rows)
    needs = f"\nNeeds: a server that has the {', '.join(one.needs)}.\n" if one.needs else ""
    return f"## {one.claim}\n\n> {one.sentence}\n\n**{one.verdict}**\n\n{table}\nInstead: {one.instead}.\n{needs}"


def rows_of(page: str) -> tuple[str, ...]:
    """Return what two runs have to agree on: headings, sentences, verdicts and parts, but no figures or versions."""
    lines = [line for line in page.splitlines() if line.startswith(("## ", "> ", "| ", "**", "Instead: ", "Needs: "))]
    return tuple(" ".join(_compared(line).split()) for line in lines if not line.startswith("| -"))


def _compared(line: str) -> str:
    cells = line.split(" | ")
    return " | ".join(cells[:2]) if line.startswith("| ") and len(cells) == 3 else line


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    clean = [tuple(cell.replace("|", "\\|").replace("__", "\\_\\_") for cell in row) for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    lines = [clean[0], tuple("-" * width for width in widths), *clean[1:]]
    return "".join(
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True))} |\n" for cells in lines
    )
