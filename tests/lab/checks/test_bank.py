"""Every snapshot of a bank sees all accounts, the total, and no debt."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lab.checks import bank
from lab.history import Final, History, Json, Operation
from lab.verdict import Verdict
from tests.lab.checks.serial import (
    DOUBT,
    FAIL,
    FAILED,
    INFO,
    OK,
    PASS,
    Plant,
    Serial,
    judged,
    one,
    some,
    told,
    with_result,
)


def read(*balances: int | None, **how: Any) -> Operation:
    return one("read", None, {str(account): balance for account, balance in enumerate(balances)}, **how)


TABLE: dict[str, tuple[History, Verdict, set[str]]] = {
    "the same total": (told(read(5, 5), read(3, 7)), PASS, set()),
    "one read": (told(read(5, 5)), PASS, set()),
    "another total": (told(read(5, 5), read(3, 6)), FAILED, {"wrong-total"}),
    "a debt": (told(read(5, 5), read(-1, 11)), FAILED, {"negative-balance"}),
    "an account missing": (told(read(5, 0), read(5)), FAILED, {"missing-account"}),
    "an account more": (told(read(5, 0), read(5, 0, 0)), FAILED, {"unexpected-account"}),
    "no balance": (told(read(5, 5), read(10, None)), FAILED, {"nil-balance"}),
    "no balance in the first read": (told(read(5, None), read(5, 5)), FAILED, {"nil-balance"}),
    "a read that failed": (told(read(5, 5), read(1, outcome=FAIL)), PASS, set()),
    "a read of unknown outcome": (told(read(5, 5), read(1, outcome=INFO)), PASS, set()),
    "lists of balances": (told(one("read", None, [5, 5]), one("read", None, [3, 8])), FAILED, {"wrong-total"}),
    "a read that is none": (told(read(5, 5), one("read", None, "all is well")), DOUBT, set()),
    "balances that are no whole numbers": (told(read(5, 5), one("read", None, {"0": "5", "1": 5})), DOUBT, set()),
    "no ok read": (told(read(5, 5, outcome=INFO)), DOUBT, set()),
    "transfers only": (told(one("transfer", {"from": 0, "to": 1, "amount": 2})), DOUBT, set()),
    "nothing at all": (told(), DOUBT, set()),
}


@pytest.mark.parametrize(("history", "verdict", "names"), TABLE.values(), ids=TABLE)
def test_a_snapshot_sees_the_whole_bank(history: History, verdict: Verdict, names: set[str]) -> None:
    assert judged(bank(), history) == (verdict, names)


def test_debts_are_allowed_when_said_so() -> None:
    assert judged(bank(negative=True), told(read(5, 5), read(-1, 11))) == (PASS, set())


def test_what_is_given_is_not_inferred() -> None:
    assert judged(bank(total=11), told(read(5, 5))) == (FAILED, {"wrong-total"})
    assert judged(bank(accounts=["0", "1", "2"]), told(read(5, 5))) == (FAILED, {"missing-account"})
    assert "first ok read" not in bank(total=10, accounts=["0", "1"])(told(read(5, 5))).why


@pytest.mark.parametrize("second", [read(5, 5), read(5, 6)], ids=["pass", "fail"])
def test_what_is_inferred_is_said(second: Operation) -> None:
    assert (
        "(the total and the accounts as operation 0, the first ok read, sees them)"
        in bank()(told(read(5, 5), second)).why
    )


def test_the_final_balances_of_a_journal_are_held_to_the_same() -> None:
    history = replace(told(read(5, 5)), final=Final({"balances": {"0": 5, "1": 6}}, {}, 0, 0))
    finding = bank()(history)
    assert (finding.verdict, finding.anomalies[0].why) == (FAILED, "final read: the sum is 11 instead of 10")


def serial_bank(seed: int) -> History:
    serial, state = Serial(seed), {"0": 20, "1": 20, "2": 20}
    random = serial.random

    def move(source: str, target: str, amount: int) -> Json:
        amount = min(amount, state[source])
        state[source] -= amount
        state[target] += amount
        return None

    serial.run("read", None, lambda: {**state}, OK)
    for _ in range(random.randint(1, 25)):
        if random.random() < 0.5:
            serial.run("read", None, lambda: {**state})
            continue
        source, target = random.sample(sorted(state), 2)
        amount = random.randint(1, 9)
        value: Json = {"from": source, "to": target, "amount": amount}
        serial.run("transfer", value, lambda s=source, t=target, a=amount: move(s, t, a))  # type: ignore[misc]
    return serial.history()


@given(seed=st.integers(0, 2**32))
def test_a_serial_execution_passes(seed: int) -> None:
    assert judged(bank(), serial_bank(seed)) == (PASS, set())
    assert judged(bank(total=60, accounts=["0", "1", "2"]), serial_bank(seed)) == (PASS, set())


def _spoilt(changes: dict[str, int | None], *without: str) -> Plant:
    def plant(history: History, random: Random) -> History:
        chosen = some(history, random, "read")
        assert isinstance(chosen.result, dict)
        kept = {account: balance for account, balance in chosen.result.items() if account not in without}
        return with_result(history, chosen.index, {**kept, **changes})

    return plant


PLANTS: dict[str, Plant] = {
    "wrong-total": _spoilt({"0": 99}),
    "negative-balance": _spoilt({"0": -1, "1": 60, "2": 1}),
    "missing-account": _spoilt({"0": 0, "1": 60}, "2"),
    "unexpected-account": _spoilt({"3": 0}),
    "nil-balance": _spoilt({"0": None}),
}


@pytest.mark.parametrize("name", PLANTS)
@given(seed=st.integers(0, 2**32))
def test_a_planted_anomaly_is_caught_and_named(name: str, seed: int) -> None:
    history = PLANTS[name](serial_bank(seed), Random(seed))
    assert judged(bank(total=60, accounts=["0", "1", "2"]), history) == (FAILED, {name})
