"""Faults by name, as a marker or `lab_faults` takes them. To add one, add a line."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from faults.errors import BadRequest
from faults.pgwire import rules
from faults.pgwire.rules import COMMIT, Rule, Where
from faults.plan import Bend, Crash, Down, Fault, Strike
from faults.toxics import Latency
from lab.errors import UsageError, unknown_name

WRITE: Final = Where(sql=r"^\s*(insert|update|delete|merge|upsert|with)\b")
"""A statement that writes: in the middle of the work, and never one of the driver's own."""

_STATE: Final = re.compile(r"([0-9A-Z]{5})(-at-commit)?")
_WHICH: Final = re.compile(r"(?P<name>.+?)(?:@(?P<nth>\d+))?")


@dataclass(frozen=True, slots=True)
class Moment:
    """A named fault: *says* what happens and what the truth is; *make* returns it."""

    says: str
    make: Callable[[], Fault]


def _rule(says: str, rule: Rule, where: Where | None = None) -> Moment:
    return Moment(says, lambda: Strike(rule if where is None else replace(rule, where=where)))


MOMENTS: Final[dict[str, Moment]] = {
    "lost-request": _rule(
        "COMMIT never reaches the server, and the connection is reset: not applied", rules.lost_request()
    ),
    "lost-ack": _rule("COMMIT is executed, its answer is lost and the connection reset: applied", rules.lost_ack()),
    "silent-commit": _rule(
        "COMMIT is executed, and no answer ever comes: applied", Rule("silent", "reply", "black_hole", COMMIT)
    ),
    "slow-commit": _rule("the answer to COMMIT takes 0.2 s", Rule("slow", "reply", "delay", COMMIT, seconds=0.2)),
    "ambiguous-commit": _rule("COMMIT is executed, and answered by 40003: applied", rules.ambiguous_result()),
    "40001": _rule("a write fails with a serialization failure", rules.serialization_failure(), WRITE),
    "40001-at-commit": _rule(
        "COMMIT fails with a serialization failure: not applied", rules.serialization_failure_at_commit()
    ),
    "reset": _rule(
        "the connection is reset at a write, which never reaches the server", Rule("reset", "request", "reset", WRITE)
    ),
    "reset-at-reply": _rule("the connection is reset at the answer to a write", Rule("reset", "reply", "reset", WRITE)),
    "shutdown": _rule("a write is answered by 57P01, and the session ends", rules.admin_shutdown(), WRITE),
    "no-connection": _rule("a new session is refused with 53300", rules.too_many_connections()),
    "latency": Moment("everything that the server says comes 50 ms later", lambda: Bend(Latency(0.05))),
    "gateway-down": Moment("the first node's gateway is lost, with everything that runs through it", Down),
    "crash": Moment("the server is killed, and started again when the fault is healed", Crash),
}
"""Name -> what it is. Besides these: any SQLSTATE, such as 40P01 (at a write) or 57P01-at-commit."""


def named_fault(name: str, *, nth: int = 1, times: int = 1) -> Fault:
    """Return the fault called *name*: the *nth* moment of its kind is struck (also written "lost-ack@2").

    Of a rule *times* moments from there on are struck; 0: all.
    Raises UsageError, with the nearest names, for an unknown one, and for a number that makes no sense.
    """
    found = _WHICH.fullmatch(name)
    base, written = (found["name"], found["nth"]) if found else (name, None)
    number = int(written) if written is not None else nth
    if number < 1 or times < 0:
        raise UsageError(f"fault '{name}': moments are counted from 1, and times from 0 (all)")
    fault = _base(base)
    if isinstance(fault, Strike):
        return replace(fault, rule=replace(fault.rule, skip=number - 1, times=times))
    if number != 1 or times != 1:
        raise UsageError(f"fault '{base}' lasts until it is healed: it has no moments to count")
    return fault


def _base(name: str) -> Fault:
    if name in MOMENTS:
        return MOMENTS[name].make()
    state = _STATE.fullmatch(name)
    if state is None:
        raise unknown_name("fault", name, MOMENTS)
    where = COMMIT if state[2] else WRITE
    try:
        return Strike(Rule(f"error-{name}", "request", "error", where, sqlstate=state[1]))
    except BadRequest as error:
        raise UsageError(f"fault '{name}': {error}") from error
