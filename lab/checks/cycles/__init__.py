"""Serializability of transactions on lists and registers, by the cycles of what depends on what.

To add an anomaly without a cycle: a rule in `append_anomalies` or `registers`; its name and who forbids it in `names`.
"""

from lab.checks.cycles.columns import NoTransactions, Transactions, collect
from lab.checks.cycles.judge import judge_transactions, serializable
from lab.checks.cycles.names import FORBIDDEN, LEVELS, MEANING, Level

__all__ = [
    "FORBIDDEN",
    "LEVELS",
    "MEANING",
    "Level",
    "NoTransactions",
    "Transactions",
    "collect",
    "judge_transactions",
    "serializable",
]
