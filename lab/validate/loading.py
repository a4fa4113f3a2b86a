"""From MODULE:NAME or path/to/file.py:NAME to a policy whose signature is right."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tenacity import BaseRetrying

from lab.errors import UsageError
from lab.loading import load_object
from lab.validate.adapters import from_tenacity

SHAPE = "async def policy(sessions, work) or async def policy(sessions, work, *, key)"
UNKNOWN_NAMES = frozenset({"OutcomeUnknown", "AmbiguousCommitError"})
"""Classes of exceptions, by name, with which a policy says that it does not know."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A policy to judge: *call* takes sessions, work and, if *keyed*, the keyword key; *unknown* names exceptions."""

    name: str
    call: Callable[..., Any]
    keyed: bool
    synchronous: bool
    unknown: frozenset[str] = UNKNOWN_NAMES

    def says_unknown(self, error: BaseException) -> bool:
        """Tell whether *error*, or a class that it is derived from, is a name for 'unknown'."""
        return any(kind.__name__ in self.unknown for kind in type(error).__mro__)


def load_policy(place: str, *, unknown: tuple[str, ...] = ()) -> Loaded:
    """Return the policy at *place*; raise UsageError, in one line, if there is none or it is not callable as one."""
    return as_policy(load_object(place, "the policy"), place, unknown=unknown)


def as_policy(found: Any, name: str, *, unknown: tuple[str, ...] = ()) -> Loaded:
    """Return *found* as a policy, tenacity's objects adapted; raise UsageError if its signature is wrong."""
    if isinstance(found, BaseRetrying):
        found = from_tenacity(found)
    if isinstance(found, type) or not callable(found):
        raise UsageError(f"'{name}' is no policy: it is {_kind(found)}; a policy is {SHAPE}")
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError) as error:
        raise UsageError(f"'{name}' has no signature that can be read; a policy is {SHAPE}") from error
    # By name: what **options would take need not be meant as a key (run_transaction of sqlalchemy_cockroachdb).
    keyed = "key" in signature.parameters and _takes(signature, key="k")
    if not keyed and not _takes(signature):
        raise UsageError(f"'{name}{signature}' cannot be called with (sessions, work); a policy is {SHAPE}")
    return Loaded(name, found, keyed, not _is_async(found), UNKNOWN_NAMES | frozenset(_last(n) for n in unknown))


def _last(name: str) -> str:
    return name.rpartition(":")[2].rpartition(".")[2]


def _kind(found: object) -> str:
    return f"the class {found.__name__}" if isinstance(found, type) else f"an object of {type(found).__name__}"


def _takes(signature: inspect.Signature, **keywords: str) -> bool:
    try:
        signature.bind("sessions", "work", **keywords)
    except TypeError:
        return False
    return True


def _is_async(found: Any) -> bool:
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(type(found).__call__)
