"""The lines of a block, read: one action a line, strictly. Pure; what does not exist is told with the nearest."""

from __future__ import annotations

from typing import Final

from faults.errors import MalformedPlan
from lab.clusters.base import Capability
from lab.runbook.forms import FORMS, Wrong, unknown
from lab.runbook.model import DIALECTS, OPERATORS, PROGRAM, Expected, Kind, Line

CONDITIONS: Final = (*DIALECTS, PROGRAM, *(capability.value for capability in Capability))


def read_line(kind: Kind, text: str, number: int) -> Line:
    """Read one line of a block of a *kind*; raise Wrong for one that means nothing."""
    condition, rest = _condition(text)
    body, expected = _expected(kind, rest)
    verb = body.split(maxsplit=1)[0] if body.split() else ""
    if verb not in FORMS[kind]:
        raise Wrong(unknown(f"'{kind}' command", verb, FORMS[kind]))
    form = FORMS[kind][verb]
    try:
        return Line(rest, number, form.read(body[len(verb) :].strip()), expected, condition)
    except (Wrong, MalformedPlan) as error:
        raise Wrong(f"{error}; it is written: {form.usage}") from error


def _condition(text: str) -> tuple[str | None, str]:
    text = text.strip()
    if text.startswith("otherwise:"):
        return None, text.removeprefix("otherwise:").strip()
    if not text.startswith("when "):
        return None, text
    condition, colon, rest = text.removeprefix("when ").partition(":")
    if not colon:
        raise Wrong("a line with a condition is written: when CONDITION: command")
    if condition.strip() not in CONDITIONS:
        raise Wrong(unknown("condition", condition.strip(), CONDITIONS))
    return condition.strip(), rest.strip()


def _expected(kind: Kind, text: str) -> tuple[str, Expected | None]:
    body, arrow, rest = text.rpartition(" => ")
    if not arrow:
        if kind == "verify":
            raise Wrong("a line of a 'verify' block ends with what it must give: => >= 1, or => shows TEXT")
        return text, None
    if kind not in ("observe", "verify"):
        raise Wrong(f"a line of '{kind}' gives nothing to compare")
    sign, _, what = rest.strip().partition(" ")
    if sign == "shows" and what.strip():
        return body.strip(), Expected(text=what.strip())
    if sign not in OPERATORS:
        raise Wrong(f"after => stands {', '.join(OPERATORS)} with a number, or shows with a text, not '{rest.strip()}'")
    try:
        return body.strip(), Expected(sign, float(what))
    except ValueError:
        raise Wrong(f"'{what}' is no number") from None
