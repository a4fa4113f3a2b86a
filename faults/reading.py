"""Reading JSON data with a complaint that names its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from faults.errors import MalformedPlan


def mapping_of(data: object, where: str) -> Mapping[str, object]:
    """Return *data* if it is an object; raise MalformedPlan otherwise."""
    if not isinstance(data, dict):
        raise MalformedPlan(f"{where}: must be an object, not {data!r:.40}")
    return data


def only(mapping: Mapping[str, object], known: set[str], where: str) -> None:
    """Raise MalformedPlan for a field that is not *known*."""
    for name in mapping:
        if name not in known:
            raise MalformedPlan(f"{where}: unknown field '{name}', known: {', '.join(sorted(known))}")


_Field = TypeVar("_Field", int, str)

WORDS: dict[type, str] = {int: "whole number", str: "text"}


def field_of(
    mapping: Mapping[str, object], name: str, kind: type[_Field], where: str, default: _Field | None = None
) -> _Field:
    """Return a field of a *kind*; raise MalformedPlan if it is missing or of another."""
    value = mapping.get(name, default)
    if isinstance(value, bool) or not isinstance(value, kind):
        raise MalformedPlan(f"{where}: '{name}' must be a {WORDS[kind]}, not {value!r:.40}")
    return value
