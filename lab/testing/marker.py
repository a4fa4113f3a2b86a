"""What @pytest.mark.resilience says, read and refused where it makes no sense."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lab.errors import UsageError, unknown_name
from lab.testing.cluster import capability_named
from lab.testing.faults import as_fault

FaultLike = Any
"""str | Rule | Toxic | Fault: `lab.testing.faults.as_fault` tells what is none."""


@dataclass(frozen=True, slots=True)
class Marked:
    """The test runs once for each of *faults*, which is armed while its body runs (*armed* False: it does so itself).

    *needs*: capabilities without which it is skipped. *must_fire*: a run whose fault did not strike fails. *policy* and
    *workload*: what `lab_scenario` runs scenarios with, in place of their own.
    """

    faults: tuple[FaultLike, ...] = ()
    needs: tuple[str, ...] = ()
    armed: bool = True
    must_fire: bool = True
    policy: Any = None
    workload: Any = None

    @property
    def ids(self) -> list[str]:
        """Return a name for each fault, for the test's id."""
        return [one if isinstance(one, str) else _label(one) for one in self.faults]


def read_marker(arguments: Sequence[Any], keywords: Mapping[str, Any]) -> Marked:
    """Return what a marker says; raise UsageError, in one line with the nearest names, for what does not exist."""
    known = [name for name in inspect.signature(Marked).parameters if name != "self"]
    for name in keywords:
        if name not in known:
            raise unknown_name("option of resilience", name, known)
    if arguments and "faults" in keywords:
        raise UsageError("resilience: name the faults once, with faults=[...] or without")
    options = {**keywords, "faults": _several(keywords.get("faults", arguments), "faults")}
    marked = Marked(**{**options, "needs": _several(keywords.get("needs", ()), "needs")})
    for fault in marked.faults:
        as_fault(fault)
    for need in marked.needs:
        capability_named(need)
    return marked


def _several(given: Any, what: str) -> tuple[Any, ...]:
    if isinstance(given, str) or not isinstance(given, Sequence | set | frozenset):
        raise UsageError(f"resilience: {what}=[...] is a list, not {given!r:.60}")
    return tuple(given)


def _label(fault: FaultLike) -> str:
    name = getattr(fault, "name", None)
    return str(name or getattr(fault, "kind", None) or type(fault).__name__.lower())
