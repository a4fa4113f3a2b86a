"""What is left behind by the application: connections, transactions."""

from __future__ import annotations

from lab.history import History
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def connections_returned() -> Check:
    """At the end no connection is missing from the pool and no session is left open in a transaction."""
    return Check("connections returned", "no connection leaks, no transaction stays open", _judge)


def _judge(history: History) -> Judgement:
    final = history.final
    if final is None:
        return inconclusive("the pool was never looked at")
    if final.checked_out or final.idle_in_transaction:
        return failed(
            f"{final.checked_out} connections not given back, {final.idle_in_transaction} transactions left open"
        )
    return passed("the pool is whole and no transaction is open")
