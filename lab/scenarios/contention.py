"""Transactions that get in each other's way."""

from __future__ import annotations

from lab.checks import met
from lab.scenario import Scenario
from lab.scenarios._parts import right, served
from lab.workloads.bank import Bank

hot = Bank(accounts=3, initial=200, reads=0.2)
"""So few accounts that nearly every transfer meets another."""

SCENARIOS = (
    Scenario(
        name="hot-rows",
        title="transfers fight for three rows, and serialization failures are retried",
        workload=hot,
        policy=right,
        seconds=2.0,
        expect=(*served(), met("40001", at_least=10)),
    ),
)
