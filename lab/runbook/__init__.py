"""Runbooks that are rehearsed: Markdown for operators, with blocks that the lab executes, times and verifies."""

from __future__ import annotations

from lab.runbook.drill import mystery, rehearse, rehearse_on
from lab.runbook.library import find, problems_of, shipped
from lab.runbook.model import Bounds, Runbook
from lab.runbook.parse import check, parse
from lab.runbook.record import Drill, Service, Step, Times
from lab.runbook.stage import automatic

__all__ = [
    "Bounds",
    "Drill",
    "Runbook",
    "Service",
    "Step",
    "Times",
    "automatic",
    "check",
    "find",
    "mystery",
    "parse",
    "problems_of",
    "rehearse",
    "rehearse_on",
    "shipped",
]
