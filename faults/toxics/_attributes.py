"""How a toxic's parameters are written in Toxiproxy's API: names, units and bounds, declared beside each field."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from typing import Any, TypeVar

from faults.errors import BadRequest

MILLISECONDS = 1e-3
MICROSECONDS = 1e-6
KILOBYTES = 1000.0
BYTES = 1.0

DAY = 86_400.0
"""The longest time (seconds) that a toxic may be told to wait: more is a slip of the pen."""

Number = int | float
_T = TypeVar("_T")


def attribute(name: str, unit: float, *, most: float, least: float = 0, default: float = 0) -> Any:
    """Declare a field that the API calls *name* and counts in *unit*; bounds and default are in the API's unit."""
    meta = {"name": name, "unit": unit, "least": least, "most": most}
    return dataclasses.field(default=_scaled(default, unit), metadata=meta)


def to_api(toxic: Any) -> dict[str, Number]:
    """Return the attributes of *toxic* as the API writes them: whole numbers wherever they are whole."""
    return {f.metadata["name"]: _plain(getattr(toxic, f.name) / f.metadata["unit"]) for f in dataclasses.fields(toxic)}


def from_api(cls: type[_T], kind: str, attributes: Mapping[str, object]) -> _T:
    """Build a toxic of class *cls* from API attributes; absent or null ones take their defaults.

    Raises BadRequest, naming the attribute, for an unknown name, a value that is no number, or one out of bounds.
    """
    fields: dict[str, dataclasses.Field[Any]] = {f.metadata["name"]: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    values: dict[str, float] = {}
    for name, value in attributes.items():
        if name not in fields:
            raise BadRequest(_unknown_attribute(kind, name, list(fields)))
        if value is not None:
            field = fields[name]
            values[field.name] = _scaled(_checked(kind, name, value, field.metadata), field.metadata["unit"])
    for name, field in fields.items():
        if field.name not in values:
            _checked(kind, name, field.default / field.metadata["unit"], field.metadata)
    return cls(**values)


def _scaled(value: float, unit: float) -> float:
    # 9 * 0.001 is not 0.009, but 9 / 1000 is: so a toxic that goes through the API comes back equal.
    return value * unit if unit >= 1 else value / round(1 / unit)


def _checked(kind: str, name: str, value: object, meta: Mapping[str, Any]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadRequest(f"{kind}: attribute '{name}' must be a number, not {value!r:.60}")
    if not meta["least"] <= value <= meta["most"]:  # nor is nan
        bounds = f"from {_plain(meta['least'])} to {_plain(meta['most'])}"
        raise BadRequest(f"{kind}: attribute '{name}' must be {bounds}, not {value!r:.60}")
    return float(value)


def _unknown_attribute(kind: str, name: str, known: list[str]) -> str:
    if not known:
        return f"{kind}: takes no attributes, not '{name}'"
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean '{near[0]}'?" if near else f"it takes {', '.join(known)}"
    return f"{kind}: unknown attribute '{name}', {hint}"


def _plain(value: float) -> Number:
    nearest = round(value)
    return nearest if math.isclose(value, nearest, rel_tol=1e-9, abs_tol=1e-9) else round(value, 6)
