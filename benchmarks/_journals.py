"""Journals of a given size, as a run of the bank leaves them: valid by construction."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import msgspec

from faults.plan import EVERY_NODE, Bend, Plan, at
from faults.toxics import Latency
from lab.history import FaultSpan, Final, Json, Outcome
from lab.journal import Closed, Completed, Ended, Gauge, Healed, Invoked, Record, Run
from lab.verdict import Verdict

ACCOUNTS, INITIAL, CLIENTS = 16, 100, 64
STARTED = "2026-01-02T03:04:05+00:00"
EPOCH = 1767323045.0
"""The same moment, in seconds since 1970."""

MINUTE = 60.0


def write_bank(file: Path, operations: int, *, seed: int = 1) -> None:
    """Write the journal of a run of `latency`: a thousand operations a second, a fault of 9 s in each minute.

    Three operations of ten are reads; three of a thousand fail, and one is of unknown outcome.
    """
    encode = msgspec.json.Encoder().encode
    with file.open("wb") as out:
        for record in _records(operations, Random(seed)):
            out.write(encode(record) + b"\n")


def _records(operations: int, random: Random) -> list[Record]:
    seconds = operations / 1000
    plan = Plan(tuple(at(moment, Bend(Latency(0.03), on=EVERY_NODE), lasting=9.0) for moment in _strikes(seconds)), 1)
    steps: dict[str, Json] = msgspec.to_builtins(plan.to_json())
    run = Run("latency", "embedded: PostgreSQL", 1, "RetryPolicy", STARTED, steps, {}, workload="bank")
    spans = [
        Healed(FaultSpan(n, "latency", moment, moment + 9.0, 90, 90, first=EPOCH + moment, last=EPOCH + moment + 8.9))
        for n, moment in enumerate(_strikes(seconds), 1)
    ]
    gauges = [Gauge(n / 10, CLIENTS, CLIENTS, random.randrange(CLIENTS + 1)) for n in range(int(seconds * 10))]
    bank = _Bank(random)
    happened = bank.records(operations)
    timed: list[tuple[float, Record]] = [
        *((record.span.healed, record) for record in spans),
        *((record.at, record) for record in gauges),
    ]
    ordered = sorted([*happened, *timed], key=lambda pair: pair[0])
    return [run, *[record for _, record in ordered], Ended(bank.final()), Closed(Verdict.PASS, seconds)]


def _strikes(seconds: float) -> list[float]:
    return [30.0 + MINUTE * n for n in range(int(seconds / MINUTE))] or [seconds / 3]


class _Bank:
    """Accounts, and what is on record of them."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._balances = dict.fromkeys(map(str, range(ACCOUNTS)), INITIAL)
        self._moved: Counter[str] = Counter()
        self._effects: dict[str, int] = {}

    def records(self, operations: int) -> list[tuple[float, Record]]:
        """Return the records of so many operations with their times."""
        made: list[tuple[float, Record]] = []
        for n in range(operations):
            made += self._operation(n)
        return made

    def _operation(self, n: int) -> tuple[tuple[float, Record], tuple[float, Record]]:
        draw = self._random
        begins = round(n / 1000, 6)
        ends = round(begins + 0.001 + draw.expovariate(100), 6)
        if draw.random() < 0.3:
            invoked = Invoked(n, n % CLIENTS, "read", None, begins)
            return (begins, invoked), (ends, Completed(n, Outcome.OK, ends, dict(self._balances), 1))
        source, target = draw.sample(range(ACCOUNTS), 2)
        amount = draw.randint(1, 5)
        order: Json = {"from": source, "to": target, "amount": amount}
        outcome = draw.choices((Outcome.OK, Outcome.FAIL, Outcome.INFO), (996, 3, 1))[0]
        result = self._apply(f"u{n}", str(source), str(target), amount) if outcome is Outcome.OK else None
        invoked = Invoked(n, n % CLIENTS, "transfer", order, begins, f"u{n}")
        errors = () if outcome is Outcome.OK else ("40001 at COMMIT",)
        return (begins, invoked), (ends, Completed(n, outcome, ends, result, 1, errors))

    def _apply(self, unit: str, source: str, target: str, amount: int) -> str:
        self._effects[unit] = 1
        if self._balances[source] < amount:
            return "refused"
        for account, change in ((source, -amount), (target, amount)):
            self._balances[account] += change
            self._moved[account] += change
        return "moved"

    def final(self) -> Final:
        """Return what is read in the end."""
        return Final({"balances": dict(self._balances), "moved": dict(self._moved)}, self._effects, 0, 0)
