"""Histories of a bank that works as it should, and one defect of each kind to plant in them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

from msgspec.structs import replace

from lab.history import FaultSpan, Final, History, Json, Operation, Outcome

ACCOUNTS = 4
INITIAL = 100
TOTAL = ACCOUNTS * INITIAL
SLOWEST = 0.5
"""Seconds that the longest operation of a correct history takes at most."""

RECOVERY = 2.0
"""Seconds within which every client of a correct history is served after the last heal."""


class Bank:
    """Money as a correct database holds it."""

    def __init__(self) -> None:
        self.balances = dict.fromkeys(map(str, range(ACCOUNTS)), INITIAL)
        self.moved: Counter[str] = Counter()
        self.effects: dict[str, int] = {}

    def apply(self, unit: str, source: str, destination: str, amount: int) -> None:
        amount = min(amount, self.balances[source])
        for account, change in ((source, -amount), (destination, amount)):
            self.balances[account] += change
            self.moved[account] += change
        self.effects[unit] = 1

    def final(self) -> Final:
        state: Json = {"balances": dict(self.balances), "moved": dict(self.moved)}
        return Final(state, dict(self.effects), 0, 0)


def correct(seed: int, *, clients: int = 3, operations: int = 12, faults: int = 2) -> History:
    """Return what a correct execution leaves: reads and transfers of all outcomes, before, under and after faults."""
    random, bank = Random(seed), Bank()
    spans = tuple(
        FaultSpan(step, f"fault {step % 2}", armed=step * 1.0, healed=step + 0.5, events=random.randint(1, 9))
        for step in range(1, faults + 1)
    )
    healed = max((span.healed for span in spans), default=0.0)
    early = (_operation(index, random, bank, random.uniform(0, healed)) for index in range(operations))
    done = sorted(early, key=lambda operation: operation.invoked)
    if spans:  # one that was tried again while a fault lasted, and one whose COMMIT was in doubt, settled by its key
        done.append(_write(0, random, bank, spans[0].armed, Outcome.OK, ("40001 at STATEMENT", "08006 at COMMIT")))
    done += [_read(0, bank, healed + 0.1 + random.random(), client) for client in range(clients)]
    done.append(_write(0, random, bank, healed + RECOVERY, Outcome.OK))
    numbered = [_numbered(index, operation, clients) for index, operation in enumerate(done)]
    final = bank.final()
    effects = {f"u{index}": final.effects[op.unit or ""] for index, op in enumerate(done) if op.unit in final.effects}
    return History(tuple(numbered), spans, faults, replace(final, effects=effects))


def _numbered(index: int, operation: Operation, clients: int) -> Operation:
    unit = None if operation.unit is None else f"u{index}"
    process = index % clients if operation.process < 0 else operation.process
    return replace(operation, index=index, unit=unit, process=process)


def _operation(index: int, random: Random, bank: Bank, at: float) -> Operation:
    if random.random() < 0.3:
        return _read(index, bank, at, -1)
    return _write(index, random, bank, at, random.choice(list(Outcome)))


def _read(index: int, bank: Bank, at: float, process: int) -> Operation:
    return Operation(index, process, "read", None, Outcome.OK, at, at + SLOWEST / 2, dict(bank.balances), attempts=1)


def _write(
    index: int, random: Random, bank: Bank, at: float, outcome: Outcome, errors: tuple[str, ...] = ()
) -> Operation:
    source, destination = map(str, random.sample(range(ACCOUNTS), 2))
    amount, draft = random.randint(1, 5), f"draft-{random.random()}"
    if outcome is Outcome.OK or (outcome is Outcome.INFO and random.random() < 0.5):
        bank.apply(draft, source, destination, amount)
    value: Json = {"from": int(source), "to": int(destination), "amount": amount}
    ended, attempts = at + random.uniform(0, SLOWEST), len(errors) + 1
    return Operation(
        index, -1, "transfer", value, outcome, at, ended, "moved", unit=draft, attempts=attempts, errors=errors
    )


Defect: TypeAlias = Callable[[History, Random], tuple[History, int | None]]
"""Plants itself in a correct history; returns that and the index of the operation that shows it, if one does."""

DEFECTS: dict[str, tuple[str, str, Defect]] = {}
"""Name -> (check that catches it, a word of its finding, the defect)."""


def _caught_by(check: str, word: str) -> Callable[[Defect], Defect]:
    def register(defect: Defect) -> Defect:
        DEFECTS[defect.__name__.replace("_", " ")] = (check, word, defect)
        return defect

    return register


def change(history: History, index: int, **changes: Any) -> History:
    """Return the history with one operation changed."""
    operations = list(history.operations)
    operations[index] = replace(operations[index], **changes)
    return replace(history, operations=tuple(operations))


def _final(history: History, **changes: Any) -> History:
    assert history.final is not None
    return replace(history, final=replace(history.final, **changes))


def _effects(history: History) -> dict[str, int]:
    assert history.final is not None
    return dict(history.final.effects)


def _state(history: History) -> dict[str, Any]:
    assert history.final is not None
    state: Any = history.final.state
    return {name: dict(numbers) for name, numbers in state.items()}


def _some(history: History, random: Random, kind: str) -> Operation:
    return random.choice([o for o in history.of_kind(kind) if o.outcome is Outcome.OK])


@_caught_by("exactly once", "lost")
def lost(history: History, random: Random) -> tuple[History, int | None]:
    write = _some(history, random, "transfer")
    effects = {unit: count for unit, count in _effects(history).items() if unit != write.unit}
    return _final(history, effects=effects), write.index


@_caught_by("exactly once", "duplicate")
def duplicate(history: History, random: Random) -> tuple[History, int | None]:
    write = random.choice(history.writes)
    return _final(history, effects=_effects(history) | {str(write.unit): random.randint(2, 9)}), write.index


@_caught_by("exactly once", "phantom")
def phantom(history: History, random: Random) -> tuple[History, int | None]:
    write = _some(history, random, "transfer")
    return change(history, write.index, outcome=Outcome.FAIL), write.index


@_caught_by("exactly once", "nobody asked for: u-none")
def unknown_unit(history: History, random: Random) -> tuple[History, int | None]:
    return _final(history, effects=_effects(history) | {"u-none": 1}), None


def _bad_read(history: History, random: Random, spoil: Callable[[dict[str, Any]], None]) -> tuple[History, int]:
    read = _some(history, random, "read")
    result: Any = read.result
    balances = dict(result)
    spoil(balances)
    return change(history, read.index, result=balances), read.index


@_caught_by("conserved", "the sum is")
def broken_sum(history: History, random: Random) -> tuple[History, int | None]:
    return _bad_read(history, random, lambda balances: balances.update({"0": balances["0"] + 1}))


@_caught_by("conserved", "3 accounts instead of 4")
def missing_account(history: History, random: Random) -> tuple[History, int | None]:
    return _bad_read(history, random, lambda balances: balances.pop("3"))


@_caught_by("conserved", "account 2 holds -1")
def negative_balance(history: History, random: Random) -> tuple[History, int | None]:
    return _bad_read(history, random, lambda b: b.update({"1": b["1"] + b["2"] + 1, "2": -1}))


@_caught_by("conserved", "whole number")
def balance_that_is_no_number(history: History, random: Random) -> tuple[History, int | None]:
    return _bad_read(history, random, lambda balances: balances.update({"4": "much"}))


@_caught_by("conserved", "no balances")
def read_without_balances(history: History, random: Random) -> tuple[History, int | None]:
    read = _some(history, random, "read")
    return change(history, read.index, result=None), read.index


@_caught_by("conserved", "final read: the sum is")
def broken_final_sum(history: History, random: Random) -> tuple[History, int | None]:
    state = _state(history)
    state["balances"]["0"] += 7
    return _final(history, state=state), None


@_caught_by("explained", "account 0 holds")
def unexplained_balance(history: History, random: Random) -> tuple[History, int | None]:
    state = _state(history)
    state["balances"]["0"] += 7
    state["balances"]["1"] -= 7  # the sum is right: this is a lost update beside a made-up one
    return _final(history, state=state), None


@_caught_by("explained", "account 1 is gone")
def vanished_account(history: History, random: Random) -> tuple[History, int | None]:
    state = _state(history)
    state["moved"]["1"] = state["moved"].get("1", 0)
    del state["balances"]["1"]
    return _final(history, state=state), None


@_caught_by("recovers", "clients never served again: 1")
def client_never_served(history: History, random: Random) -> tuple[History, int | None]:
    mute = [o.index for o in history.operations if o.process == 1 and (o.completed or 0) >= history.healed]
    for index in mute:
        history = change(history, index, outcome=Outcome.FAIL)
    return history, max(o.index for o in history.operations if o.process == 1)


@_caught_by("recovers", "the bound is")
def late_recovery(history: History, random: Random) -> tuple[History, int | None]:
    late = [o.index for o in history.operations if o.process == 1 and (o.completed or 0) >= history.healed]
    for index in late:
        history = change(history, index, completed=history.healed + 60.0)
    return history, None


@_caught_by("answers", "took over")
def slow_operation(history: History, random: Random) -> tuple[History, int | None]:
    slow = random.choice(history.operations)
    return change(history, slow.index, completed=slow.invoked + 30.0), slow.index


@_caught_by("answers", "inf s")
def operation_that_never_came_back(history: History, random: Random) -> tuple[History, int | None]:
    slow = random.choice(history.operations)
    return change(history, slow.index, completed=None, outcome=Outcome.INFO), slow.index


@_caught_by("succeeds", "after 7 attempts with 40001 at STATEMENT")
def operation_not_done(history: History, random: Random) -> tuple[History, int | None]:
    for operation in history.operations:
        history = change(history, operation.index, outcome=Outcome.OK)
    chosen = random.choice(history.operations)
    errors = ("40001 at STATEMENT",)
    return change(history, chosen.index, outcome=Outcome.FAIL, attempts=7, errors=errors), chosen.index


@_caught_by("restrained", "storm")
def storm(history: History, random: Random) -> tuple[History, int | None]:
    span = random.choice(history.faults)
    chosen = random.choice(history.operations)
    times = {"invoked": span.armed, "completed": span.armed + 0.1}
    return change(history, chosen.index, **times, attempts=500), chosen.index


@_caught_by("connections returned", "1 connections not given back")
def leaked_connection(history: History, random: Random) -> tuple[History, int | None]:
    return _final(history, checked_out=1), None


@_caught_by("connections returned", "2 transactions left open")
def open_transaction(history: History, random: Random) -> tuple[History, int | None]:
    return _final(history, idle_in_transaction=2), None


@_caught_by("faults fired", "no evidence that it fired: fault 1")
def silent_fault(history: History, random: Random) -> tuple[History, int | None]:
    spans = tuple(replace(span, events=0) if span.fault == "fault 1" else span for span in history.faults)
    return replace(history, faults=spans), None


@_caught_by("faults fired", "1 of 2 planned steps were not carried out: 1")
def missing_step(history: History, random: Random) -> tuple[History, int | None]:
    return replace(history, faults=history.faults[1:]), None


@_caught_by("faults fired", "1 of 2 planned steps were not carried out: 2")
def step_told_twice_instead_of_the_next(history: History, random: Random) -> tuple[History, int | None]:
    return replace(history, faults=(history.faults[0], history.faults[0])), None
