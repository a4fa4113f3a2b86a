"""The cases, as data: what strikes when, and how it is judged. To add one, add a line."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from faults.pgwire import rules
from faults.pgwire.rules import COMMIT, Rule, Where
from faults.pgwire.session import CONNECT
from lab.validate import judge
from lab.validate.judge import MOST_ATTEMPTS, Judge
from lab.validate.unit import Orders

Dimension = Literal["safety", "liveness", "restraint", "hygiene", "cost"]
DIMENSIONS: Final[tuple[Dimension, ...]] = ("safety", "liveness", "restraint", "hygiene")
"""Those that have a verdict; cost is information."""

EVER = float("inf")
STORM = 2.0
"""Seconds of the storm."""


@dataclass(frozen=True, slots=True)
class Strike:
    """A rule and when it is armed: 0 before the policy begins, n at the end of the n-th call of the work.

    So the next COMMIT is the unit's own, whatever else the policy commits.
    """

    rule: Rule
    call: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """One case: *units* go through the policy (at once, or one by one), while *strikes* strike.

    The gateway is *down* for the first so many seconds; *crash* kills the server in the middle of the first call.
    *limit* seconds end the case, None: the deadline. Of *runs* the one that looks best counts. An *alone* case
    shares the machine with no other, a *long* one begins early.
    """

    name: str
    dimension: Dimension
    judge: Judge
    strikes: tuple[Strike, ...] = ()
    orders: Orders = field(default_factory=Orders)
    units: int = 1
    one_by_one: bool = False
    down: float = 0.0
    crash: bool = False
    limit: float | None = None
    runs: int = 1
    alone: bool = False
    long: bool = False
    asynchronous: bool = False

    def suits(self, *, synchronous: bool, crashes: bool) -> bool:
        """Whether it can be tried on such a policy, and on a cluster whose server *crashes* or not."""
        return not (self.asynchronous and synchronous) and (crashes or not self.crash)


LEDGER = Where(sql="INSERT INTO validate_ledger")
FIRST = Where(sql="FROM validate_counter")


def at_commits(rule: Rule, calls: Iterable[int]) -> tuple[Strike, ...]:
    """Return the rule for the COMMIT of each of these calls."""
    return tuple(Strike(replace(rule, name=f"{rule.name}-{call}"), call) for call in calls)


def error(sqlstate: str, where: Where, times: int = 1) -> tuple[Strike, ...]:
    """Return the strike that fails the statements of *where*."""
    return (Strike(Rule(f"error-{sqlstate}", "request", "error", where, sqlstate=sqlstate, times=times)),)


def _commit(sqlstate: str) -> Rule:
    return Rule(f"error-{sqlstate}-at-commit", "request", "error", COMMIT, sqlstate=sqlstate)


ONCE, TWICE, THRICE = (1,), (1, 2), (1, 2, 3)

SAFETY = tuple(
    Case(name, "safety", judge.safe, strikes)
    for name, strikes in {
        "lost request of COMMIT": at_commits(rules.lost_request(), ONCE),
        "lost acknowledgement of COMMIT": at_commits(rules.lost_ack(), ONCE),
        "lost acknowledgement twice": at_commits(rules.lost_ack(), TWICE),
        "lost request, then lost acknowledgement": (
            *at_commits(rules.lost_request(), ONCE),
            *at_commits(rules.lost_ack(), (2,)),
        ),
        "40003 at COMMIT, applied": at_commits(rules.ambiguous_result(), ONCE),
        "40003 at COMMIT, not applied": at_commits(replace(rules.ambiguous_result(), moment="request"), ONCE),
        "57P01 at COMMIT": at_commits(_commit("57P01"), ONCE),
        "40001 at COMMIT, then lost acknowledgement": (
            *at_commits(_commit("40001"), ONCE),
            *at_commits(rules.lost_ack(), (2,)),
        ),
        "connection lost at the reply of a statement": (Strike(Rule("cut", "reply", "reset", LEDGER)),),
        "no answer to COMMIT, applied": at_commits(Rule("silence", "reply", "black_hole", COMMIT), ONCE),
        "no answer to COMMIT, not applied": at_commits(Rule("silence", "request", "black_hole", COMMIT), ONCE),
    }.items()
)

LIVENESS = (
    *(
        Case(name, "liveness", judge.gets_through, strikes)
        for name, strikes in {
            "40001 at a statement": error("40001", LEDGER),
            "40001 at a statement three times": error("40001", LEDGER, 3),
            "40001 at COMMIT": at_commits(_commit("40001"), ONCE),
            "40001 at COMMIT three times": at_commits(_commit("40001"), THRICE),
            "deadlock (40P01)": error("40P01", LEDGER),
            "connection lost before the work": (Strike(Rule("cut", "request", "reset", FIRST)),),
            "connection lost in mid-transaction": (Strike(Rule("cut", "request", "reset", LEDGER)),),
            "57P01 in mid-transaction": error("57P01", LEDGER),
            "53300 at connect three times": error("53300", Where(statement=CONNECT), 3),
            "57P03 at connect": error("57P03", Where(statement=CONNECT)),
        }.items()
    ),
    Case("connections refused for 0.4 s", "liveness", judge.gets_through, down=0.4),
    Case("server crashed and restarted", "liveness", judge.gets_through, crash=True, alone=True),
)

PERMANENT = {
    "23505": "INSERT INTO validate_counter (name, value) VALUES (:unit, 0)",
    "23502": "INSERT INTO validate_counter (name, value) VALUES (:unit || ' ', NULL)",
    "42601": "SELEC :unit",
    "42P01": "SELECT * FROM validate_nothing WHERE name = :unit",
    "22012": "SELECT 1 / (length(:unit) * 0)",
}
"""SQL of a unit that fails for good, with real errors of the server."""

ENDLESS = error("40001", LEDGER, MOST_ATTEMPTS + 1)
FOR_EVER = error("40001", LEDGER, 0)

RESTRAINT = (
    *(
        Case(f"{state} is not retried", "restraint", judge.not_retried, orders=Orders(fails=sql, state=state))
        for state, sql in PERMANENT.items()
    ),
    Case("40001 without end", "restraint", judge.bounded_attempts, ENDLESS, long=True),
    Case("waits of clients", "restraint", judge.growing_waits, FOR_EVER, units=10, limit=6.0, long=True),
    Case("total outage", "restraint", judge.keeps_deadline, down=EVER, long=True),
    Case(
        "black hole",
        "restraint",
        judge.keeps_deadline,
        (Strike(Rule("silence", "request", "black_hole", LEDGER, times=0)),),
        long=True,
    ),
    Case(
        "storm of 100 clients",
        "restraint",
        judge.calm_in_a_storm(STORM),
        units=100,
        down=EVER,
        limit=STORM,
        alone=True,
    ),
)

HYGIENE = (
    Case("pool after 40001", "hygiene", judge.nothing_left, error("40001", LEDGER, 2)),
    Case("pool after a lost acknowledgement", "hygiene", judge.nothing_left, at_commits(rules.lost_ack(), ONCE)),
    Case("pool after a permanent error", "hygiene", judge.nothing_left, orders=Orders(fails="SELEC 1", state="42601")),
    Case("pool after cancellation", "hygiene", judge.nothing_left, orders=Orders(park=True), asynchronous=True),
    Case("fresh state for each attempt", "hygiene", judge.fresh_state, error("40001", LEDGER, 2)),
    Case("cancelled in the work", "hygiene", judge.cancelled_at_once, orders=Orders(park=True), asynchronous=True),
    Case(
        "cancelled between attempts",
        "hygiene",
        judge.cancelled_at_once,
        error("40001", LEDGER, 4),
        orders=Orders(cancel_after=2),
        asynchronous=True,
    ),
    Case(
        "event loop while it waits",
        "hygiene",
        judge.never_blocks,
        error("40001", LEDGER, 3),
        runs=5,
        alone=True,
        asynchronous=True,
    ),
)

CLEAN = Case("clean run", "cost", judge.cost)
COST = Case("cost", "cost", judge.cost, units=100, one_by_one=True, alone=True)
CASES = (*SAFETY, *LIVENESS, *RESTRAINT, *HYGIENE, COST)
