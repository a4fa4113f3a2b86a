"""Serializability of transactions on lists and registers, by the cycles of what depends on what.

To add an anomaly without a cycle: a rule in `append_anomalies` or `registers`; its name and who forbids it in `names`.
"""

from lab.checks.cycles.check import serializable
from lab.checks.cycles.names import FORBIDDEN, LEVELS, MEANING, Level, Lists

__all__ = ["FORBIDDEN", "LEVELS", "MEANING", "Level", "Lists", "serializable"]
