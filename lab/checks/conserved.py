"""The bank's invariant: money is neither made nor lost, in every snapshot and at the end."""

from __future__ import annotations

from lab.checks.bank import balances, final_balances, troubled
from lab.history import History, Json, Outcome
from lab.verdict import MOST_WITNESSES, Anomaly, Check, Judgement, failed, inconclusive, passed


def conserved(*, total: int, accounts: int) -> Check:
    """Every snapshot read sees all *accounts* with *total* in sum and none below zero, and so does the final one."""

    def judge(history: History) -> Judgement:
        reads = [operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK]
        troubles = [(read.index, troubled(balances(read.result), total, accounts)) for read in reads]
        wrong = [
            Anomaly(trouble.name, (index,), f"operation {index}: {trouble.why}")
            for index, trouble in troubles
            if trouble
        ]
        if wrong:
            operations = [index for index, trouble in troubles if trouble]
            return failed(wrong[0].why, operations, tuple(wrong[:MOST_WITNESSES]))
        if history.final is None:
            return inconclusive("the final balances were never read")
        trouble = troubled(final_balances(history), total, accounts)
        if trouble:
            why = f"final read: {trouble.why}"
            return failed(why, (), (Anomaly(trouble.name, (), why),))
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
        held, moved = _numbers(state.get("balances")), _numbers(state.get("moved"))
        if not held or moved is None:
            return inconclusive("the final state does not hold balances, and what was moved")
        for account in sorted({*held, *moved}):
            balance, expected = held.get(account), initial + moved.get(account, 0)
            if balance != expected:
                what = "is gone" if balance is None else f"holds {balance}"
                return failed(f"account {account} {what}, its transfers on record make {expected}")
        return passed(f"the transfers on record explain all {len(held)} balances")

    return Check("explained", "every balance follows from the transfers on record", judge)


def _numbers(value: Json) -> dict[str, int] | None:
    """Return an object of whole numbers, None for anything else: what is left out could not be judged."""
    if not isinstance(value, dict):
        return None
    numbers = {name: n for name, n in value.items() if isinstance(n, int) and not isinstance(n, bool)}
    return numbers if len(numbers) == len(value) else None
