"""What every snapshot of a bank has to show: all accounts, the total, and no debt."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from lab.checks._reading import Tally, unread
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


class Trouble(NamedTuple):
    """What is wrong with balances: the *name* of the anomaly, and *why* in words."""

    name: str
    why: str


UNREADABLE = "unreadable"
"""The name of a trouble that is none of the bank, but of what was recorded."""


def bank(*, total: int | None = None, accounts: Collection[str] | None = None, negative: bool = False) -> Check:
    """Every ok read sees *total* in sum, exactly the *accounts*, and no balance below zero unless *negative* allows it.

    A read answers an object of whole numbers by account, or a list of them (accounts "0", "1", ...). What is not given
    is inferred from the first ok read that can be read, and the reason of the verdict says so. The final state of a
    journal is held to the same. Source: the checker of `jepsen.tests.bank`; beyond it, an account that is missing is a
    failure.
    """

    def judge(history: History) -> Judgement:
        reads = [(operation, balances(operation.result)) for operation in _ok_reads(history)]
        first = next(((read, found) for read, found in reads if found and None not in found.values()), None)
        known = frozenset(accounts if accounts is not None else first[1] or () if first else ())
        expected = total if total is not None else _total(first[1]) if first else 0
        tally, unreadable = Tally(), 0
        for operation, found in reads:
            trouble = troubled(found, expected, known, negative=negative)
            if trouble is None:
                continue
            if trouble.name == UNREADABLE:
                unreadable += 1
            else:
                tally.add(trouble.name, 1, _witness(operation, trouble))
        final = troubled(final_balances(history), expected, known, negative=negative) if _has_final(history) else None
        if final is not None and final.name != UNREADABLE:
            tally.add(final.name, 1, [Anomaly(final.name, (), f"final read: {final.why}")])
        inferred = _inferred(first[0] if first else None, total is None, accounts is None)
        says = f"{len(reads):,} reads see {len(known)} accounts that hold {expected} together{inferred}"
        doubts = [] if first else ["no ok read answered balances"]
        return tally.judgement(says, [*doubts, *unread(unreadable)], note=inferred)

    return Check("bank", "every read sees all accounts, the same total, and no debt", judge)


def _ok_reads(history: History) -> Iterator[Operation]:
    return (operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK)


def _witness(operation: Operation, trouble: Trouble) -> Iterator[Anomaly]:
    yield Anomaly(trouble.name, (operation.index,), f"operation {operation.index}: {trouble.why}")


def _has_final(history: History) -> bool:
    return history.final is not None and isinstance(history.final.state, dict) and "balances" in history.final.state


def final_balances(history: History) -> dict[str, int | None] | None:
    """Return the balances of the final state of a journal, None if it has none."""
    state = history.final.state if history.final is not None else None
    return balances(state.get("balances") if isinstance(state, dict) else state)


def _inferred(read: Operation | None, total: bool, accounts: bool) -> str:
    what = " and ".join(name for name, guessed in (("the total", total), ("the accounts", accounts)) if guessed)
    return f" ({what} as operation {read.index}, the first ok read, sees them)" if what and read else ""


def _total(found: dict[str, int | None] | None) -> int:
    return sum(balance or 0 for balance in (found or {}).values())


def balances(value: Json) -> dict[str, int | None] | None:
    """Return balances by account, null ones as None; None if *value* is anything else than whole numbers or nulls."""
    if isinstance(value, list):
        value = {str(account): balance for account, balance in enumerate(value)}
    if not isinstance(value, dict):
        return None
    kinds = set(map(type, value.values()))
    return value if kinds <= {int, type(None)} else None  # type: ignore[return-value]


def troubled(
    found: dict[str, int | None] | None, total: int, accounts: int | frozenset[str], *, negative: bool = False
) -> Trouble | None:
    """Return what is wrong with balances first, or None; *accounts* are the names, or how many there must be."""
    if found is None:
        return Trouble(UNREADABLE, "no balances that are whole numbers")
    wrong = _wrong_accounts(found, accounts)
    if wrong is not None:
        return wrong
    numbers = [balance for balance in found.values() if balance is not None]
    if len(numbers) != len(found):
        name = next(name for name, balance in found.items() if balance is None)
        return Trouble("nil-balance", f"account {name} holds null")
    if sum(numbers) != total:
        return Trouble("wrong-total", f"the sum is {sum(numbers)} instead of {total}")
    if not negative and numbers and min(numbers) < 0:
        name, least = next((name, balance) for name, balance in found.items() if balance is not None and balance < 0)
        return Trouble("negative-balance", f"account {name} holds {least}")
    return None


def _wrong_accounts(found: dict[str, int | None], accounts: int | frozenset[str]) -> Trouble | None:
    if isinstance(accounts, int):
        if len(found) == accounts:
            return None
        name = "missing-account" if len(found) < accounts else "unexpected-account"
        return Trouble(name, f"{len(found)} accounts instead of {accounts}")
    if found.keys() == accounts:
        return None
    missing, more = sorted(accounts - found.keys()), sorted(found.keys() - accounts)
    if missing:
        return Trouble("missing-account", f"account {missing[0]} is missing")
    return Trouble("unexpected-account", f"account {more[0]} is none of the bank's")
