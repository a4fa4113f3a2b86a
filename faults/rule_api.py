"""Rules as the control API takes and shows them."""

from __future__ import annotations

from dataclasses import asdict, replace

import msgspec

from faults.errors import BadRequest
from faults.pgwire.rules import PRESETS, Rule, Where, choice
from faults.rulebook import ArmedRule, Firing, RuleBook

Json = dict[str, object]


class WhereRequest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """Which statements, as a client asks for it."""

    proxy: str | msgspec.UnsetType = msgspec.UNSET
    application_name: str | msgspec.UnsetType = msgspec.UNSET
    statement: str | msgspec.UnsetType | None = msgspec.UNSET
    sql: str | msgspec.UnsetType | None = msgspec.UNSET


class RuleRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A rule as a client asks for it: on top of a *preset*, or with a moment and an action of its own."""

    preset: str | None = None
    name: str | msgspec.UnsetType = msgspec.UNSET
    where: WhereRequest | msgspec.UnsetType = msgspec.UNSET
    moment: str | msgspec.UnsetType = msgspec.UNSET
    action: str | msgspec.UnsetType = msgspec.UNSET
    seconds: float | msgspec.UnsetType = msgspec.UNSET
    sqlstate: str | msgspec.UnsetType | None = msgspec.UNSET
    text: str | msgspec.UnsetType = msgspec.UNSET
    times: int | msgspec.UnsetType = msgspec.UNSET
    skip: int | msgspec.UnsetType = msgspec.UNSET
    probability: float | msgspec.UnsetType = msgspec.UNSET
    seed: int | msgspec.UnsetType = msgspec.UNSET
    ttl: float | msgspec.UnsetType = msgspec.UNSET

    def rule(self) -> Rule:
        """Return the rule; raise BadRequest with the choices for one that cannot be."""
        given = {name: value for name, value in _given(self).items() if name not in ("preset", "where")}
        where = _given(self.where) if isinstance(self.where, WhereRequest) else {}
        if isinstance(where.get("statement"), str):
            where["statement"] = str(where["statement"]).upper()
        if self.preset is not None:
            base = PRESETS[choice("preset", self.preset, tuple(PRESETS))]()
            return replace(base, **{**given, "where": replace(base.where, **where)})  # type: ignore[arg-type]
        for needed in ("moment", "action"):
            if needed not in given:
                raise BadRequest(f"missing required field: {needed}; or name a preset: {', '.join(PRESETS)}")
        given.setdefault("name", f"{given['action']}_{given['moment']}")
        return Rule(**{**given, "where": Where(**where)})  # type: ignore[arg-type]


def _given(request: msgspec.Struct) -> Json:
    return {n: v for n in request.__struct_fields__ if (v := getattr(request, n)) is not msgspec.UNSET}


def describe_rule(armed: ArmedRule) -> Json:
    """Return a rule with its counts; *waiting* is how many statements it holds back now."""
    return {
        **asdict(armed.rule),
        "since": armed.since,
        "matched": armed.matched,
        "fired": armed.fired,
        "waiting": len(armed.waiting),
    }


def describe_rules(book: RuleBook) -> Json:
    """Return all rules, and by proxy how many connections were none of PostgreSQL's, so that no rule could match."""
    return {"rules": [describe_rule(armed) for armed in book], "strangers": dict(book.strangers)}


def describe_firing(firing: Firing) -> Json:
    """Return the record of a firing."""
    return asdict(firing)
