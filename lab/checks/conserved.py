"""The bank's invariant: money is neither made nor lost, in every snapshot and at the end."""

from __future__ import annotations

from collections.abc import Iterator

from lab.history import History, Json, Operation, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def conserved(*, total: int, accounts: int) -> Check:
    """Every snapshot read sees all *accounts* with *total* in sum and none below zero, and so does the final one."""

    def judge(history: History) -> Judgement:
        reads = [operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK]
        problems = list(_bad_reads(reads, total, accounts))
        if problems:
            return failed(problems[0][1], (index for index, _ in problems))
        if history.final is None:
            return inconclusive("the final balances were never read")
        state = history.final.state
        problem = _problem(state.get("balances") if isinstance(state, dict) else state, total, accounts)
        if problem:
            return failed(f"final read: {problem}")
        if not reads:
            return inconclusive("no snapshot was read during the run")
        return passed(f"{total} in each of {len(reads):,} snapshots and at the end")

    return Check("conserved", f"{accounts} accounts hold {total} in every snapshot", judge)


def explained(*, initial: int) -> Check:
    """Every final balance is *initial* plus the transfers on record: no update was lost or made up."""

    def judge(history: History) -> Judgement:
        state = history.final.state if history.final is not None else None
        if not isinstance(state, dict):
            return inconclusive("the final balances were never read")
        balances, moved = _numbers(state.get("balances")), _numbers(state.get("moved"))
        if not balances or moved is None:
            return inconclusive("the final state does not hold balances, and what was moved")
        for account in sorted({*balances, *moved}):
            balance, expected = balances.get(account), initial + moved.get(account, 0)
            if balance != expected:
                held = "is gone" if balance is None else f"holds {balance}"
                return failed(f"account {account} {held}, its transfers on record make {expected}")
        return passed(f"the transfers on record explain all {len(balances)} balances")

    return Check("explained", "every balance follows from the transfers on record", judge)


def _bad_reads(reads: list[Operation], total: int, accounts: int) -> Iterator[tuple[int, str]]:
    for operation in reads:
        problem = _problem(operation.result, total, accounts)
        if problem:
            yield operation.index, f"operation {operation.index}: {problem}"


def _problem(state: Json, total: int, accounts: int) -> str | None:
    if not isinstance(state, dict):
        return f"no balances, but {state!r}"
    balances = _numbers(state)
    if balances is None:
        return f"not every balance is a whole number: {state!r:.200}"
    if len(balances) != accounts:
        return f"{len(balances)} accounts instead of {accounts}"
    if sum(balances.values()) != total:
        return f"the sum is {sum(balances.values())} instead of {total}"
    overdrawn = [f"account {name} holds {balance}" for name, balance in balances.items() if balance < 0]
    return overdrawn[0] if overdrawn else None


def _numbers(value: Json) -> dict[str, int] | None:
    """Return an object of whole numbers, None for anything else: what is left out could not be judged."""
    if not isinstance(value, dict):
        return None
    numbers = {name: n for name, n in value.items() if isinstance(n, int) and not isinstance(n, bool)}
    return numbers if len(numbers) == len(value) else None
