"""Every wire moment of a unit, and what can be done to it: values and pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from faults.client import FiringInfo
from faults.pgwire.rules import FATAL, Action, Rule, Where
from faults.pgwire.rules import Moment as Side
from faults.pgwire.session import CONNECT
from lab.errors import UsageError, unknown_name

SESSIONS: Final = "explored"
"""application_name of the unit's sessions, without their number."""

RULE: Final = "explore"
"""Name of the one rule that is in force."""

HARMLESS: Final = 1e-6
"""Seconds of delay of a rule that is there only for its record."""

_DATA: Final = frozenset({"SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "MERGE", "UPSERT", "COPY", "CALL", "VALUES"})
_SQLSTATE: Final = re.compile(r"(?=.*[0-9])[0-9A-Z]{5}")
_DECIDES: Final = frozenset({"COMMIT", "RELEASE"})


@dataclass(frozen=True, slots=True)
class Step:
    """A statement of the clean run: its *number* on the wire (from 1), the *connection* (from 1), *kind* and *sql*.

    *skip*: how many that one rule could match come before it; *failed_before*: how many of these were in a transaction
    that had failed. *alone*: it is a transaction by itself. *failed*: its transaction has failed already.
    """

    number: int
    connection: int
    kind: str
    sql: str
    skip: int
    failed_before: int
    alone: bool
    failed: bool

    @property
    def label(self) -> str:
        """What it is, in a few words."""
        text = " ".join(self.sql.split()) or ("ping" if not self.kind else self.kind)
        return text if len(text) <= 48 else f"{text[:45]}..."


@dataclass(frozen=True, slots=True)
class Strike:
    """What is done, on which side of a statement: *action* is reset, close, black_hole or a SQLSTATE."""

    action: str
    side: Side

    def __str__(self) -> str:
        return f"{self.action}@{self.side}"

    def rule(self, step: Step) -> Rule:
        """Return the rule that hits exactly *step*."""
        where = _where(step.kind == CONNECT)
        cut = _CUTS.get(self.action)
        if cut is not None:
            return Rule(RULE, self.side, cut, where, skip=step.skip)
        rule = Rule(RULE, self.side, "error", where, sqlstate=self.action, text=_TEXTS[self.action], skip=step.skip)
        # Such a rule does not count the statements of a transaction that has failed: it cannot fail again.
        return rule if rule.can_strike("E") else replace(rule, skip=step.skip - step.failed_before)


_CUTS: Final[Mapping[str, Action]] = {"reset": "reset", "close": "close", "black_hole": "black_hole"}

# The server's own words: applications and drivers look at them.
_TEXTS: Final = {
    "40001": "restart transaction: injected serialization failure",
    "40003": "result is ambiguous: injected",
    "53300": "sorry, too many clients already",
    "57P01": "terminating connection due to administrator command",
}

ORDER: Final = (
    Strike("reset", "request"),
    Strike("close", "request"),
    Strike("black_hole", "request"),
    Strike("40001", "request"),
    Strike("40003", "request"),
    Strike("53300", "request"),
    Strike("57P01", "request"),
    Strike("reset", "reply"),
    Strike("close", "reply"),
    Strike("black_hole", "reply"),
    Strike("40003", "reply"),
    Strike("57P01", "reply"),
)
"""Everything that can be done, in the order of the matrix."""


def strikes_for(step: Step, *, slow: bool) -> tuple[Strike, ...]:
    """Return what makes sense at *step*; *slow* adds black holes, which last until the client's own bound."""
    wanted = {"reset@request", "close@request", "57P01@request"}
    if step.kind == CONNECT:
        wanted |= {"53300@request"}
    else:
        wanted |= {"reset@reply", "close@reply"}
    if step.kind in _DATA | _DECIDES:
        wanted |= {"40001@request"}
    if step.kind in _DECIDES or step.alone:
        wanted |= {"40003@request", "40003@reply", "57P01@reply"}
    if slow:
        wanted |= {"black_hole@request"} | ({"black_hole@reply"} if step.kind != CONNECT else set())
    possible = (strike for strike in ORDER if not step.failed or strike.action in (*_CUTS, *FATAL))
    return tuple(strike for strike in possible if str(strike) in wanted)


def tracing() -> tuple[Rule, ...]:
    """Return rules that do nothing but leave a record of every statement."""
    return tuple(
        Rule(f"{RULE}-{name}", "request", "delay", _where(connect), seconds=HARMLESS, times=0)
        for name, connect in (("connect", True), ("statement", False))
    )


def steps_of(firings: Iterable[FiringInfo]) -> tuple[Step, ...]:
    """Return the statements of a traced run, in the order of their requests."""
    connections: dict[tuple[str, int], int] = {}
    states: dict[int, str] = {}
    steps: list[Step] = []
    for firing in firings:
        connection = connections.setdefault((firing.proxy, firing.connection), len(connections) + 1)
        state = states.get(connection, "idle")
        states[connection] = _state_after(firing, state)
        alike = [step for step in steps if (step.kind == CONNECT) == (firing.statement == CONNECT)]
        steps.append(
            Step(
                number=len(steps) + 1,
                connection=connection,
                kind=firing.statement,
                sql=firing.sql,
                skip=len(alike),
                failed_before=sum(step.failed for step in alike),
                alone=state == "idle" and firing.statement in _DATA,
                failed=state == "failed",
            )
        )
    return tuple(steps)


def _state_after(firing: FiringInfo, state: str) -> str:
    if firing.statement in ("COMMIT", "ROLLBACK"):
        return "idle"
    if firing.statement in ("BEGIN", "ROLLBACK TO"):
        return "open"
    return "failed" if state == "open" and _SQLSTATE.fullmatch(firing.answer or "") else state


def parse_only(text: str, steps: Sequence[Step]) -> tuple[Step, Strike]:
    """Return what ``--only 7:reset@reply`` asks for; raise UsageError with the choices."""
    number, colon, name = text.partition(":")
    if not colon or not number.isdecimal():
        raise UsageError(f"--only '{text}': write NUMBER:ACTION@SIDE, such as 7:reset@reply")
    if not 1 <= int(number) <= len(steps):
        raise UsageError(f"--only '{text}': the clean run has the moments 1 to {len(steps)}")
    step = steps[int(number) - 1]
    possible = {str(strike): strike for strike in strikes_for(step, slow=True)}
    if name not in possible:
        raise UsageError(f"--only '{text}': at {step.label}, {unknown_name('action', name, possible)}")
    return step, possible[name]


def _where(connect: bool) -> Where:
    # A rule without a statement matches everything but the start of a session.
    return Where(application_name=f"{SESSIONS}-*", statement=CONNECT if connect else None)
