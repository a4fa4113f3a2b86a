"""The check of transactions. What it computes with takes half a second to load, and most commands never need it."""

from __future__ import annotations

from lab.checks.cycles.names import EFFORT, Level, Lists
from lab.history import History
from lab.verdict import Check, Judgement, inconclusive


def serializable(
    workload: Lists, *, level: Level = "serializable", realtime: bool = False, effort: int = EFFORT
) -> Check:
    """Some serial order of the transactions explains everything that was read, or what *level* asks for instead.

    *realtime* looks for anomalies of process and real-time order even where the level allows them, and tells them.
    """

    def judge(history: History) -> Judgement:
        from lab.checks.cycles.columns import NoTransactions, collect
        from lab.checks.cycles.judge import judge_transactions

        try:
            transactions = collect(history.operations, registers=workload == "rw-register")
        except NoTransactions as error:
            return inconclusive(str(error))
        return judge_transactions(transactions, workload, level=level, realtime=realtime, effort=effort)

    return Check(level, f"the transactions are {level.replace('-', ' ')}", judge, pending=True)
