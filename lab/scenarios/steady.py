"""Nothing goes wrong: the measure of all other scenarios."""

from __future__ import annotations

from lab.scenario import Scenario
from lab.scenarios._parts import bank, right, served

SCENARIOS = (
    Scenario(
        name="steady",
        title="a bank works while nothing goes wrong",
        workload=bank,
        policy=right,
        expect=served(),
    ),
)
