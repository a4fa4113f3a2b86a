"""An audit as SARIF 2.1.0, which editors and code hosts show beside the lines.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from lab.audit.findings import Audit, Finding, Trouble
from lab.audit.render import command
from lab.audit.rule import Rule

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


def to_sarif(audit: Audit, rules: Sequence[Rule], version: str) -> dict[str, Any]:
    """Return the SARIF log of an audit by *rules* with the lab's *version*; files in trouble are notifications."""
    places = {rule.code: number for number, rule in enumerate(rules)}
    run = {
        "tool": {
            "driver": {
                "name": "lab audit",
                "version": version,
                "semanticVersion": version,
                "rules": [_rule(rule) for rule in rules],
            }
        },
        "columnKind": "unicodeCodePoints",
        "results": [_result(one, places[one.rule.code]) for one in audit.findings],
        "invocations": [
            {
                "executionSuccessful": not audit.troubles,
                "toolExecutionNotifications": [
                    *({"level": "error", **_notification(one)} for one in audit.troubles),
                    *(
                        {"level": "note", **_notification(Trouble(s.path, 0, f"skipped: {s.why}"))}
                        for s in audit.skipped
                    ),
                ],
            }
        ],
    }
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.code,
        "name": rule.check.__name__,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.mend} Proof: {command(rule)}"},
        "defaultConfiguration": {"level": "warning"},
    }


def _result(one: Finding, place: int) -> dict[str, Any]:
    region = {"startLine": one.line, "startColumn": one.column, "snippet": {"text": one.source}}
    return {
        "ruleId": one.rule.code,
        "ruleIndex": place,
        "level": "warning",
        "message": {"text": f"{one.rule.title}: {one.seen}. {one.rule.why} {one.rule.mend}"},
        "locations": [_location(one.path, region)],
    }


def _notification(one: Trouble) -> dict[str, Any]:
    region = {"startLine": one.line} if one.line else None
    return {"message": {"text": one.problem}, "locations": [_location(one.path, region)]}


def _location(path: str, region: dict[str, Any] | None) -> dict[str, Any]:
    physical: dict[str, Any] = {"artifactLocation": {"uri": _uri(path)}}
    if region is not None:
        physical["region"] = region
    return {"physicalLocation": physical}


def _uri(path: str) -> str:
    whole = Path(path)
    return whole.as_uri() if whole.is_absolute() else quote(PurePath(path).as_posix())
