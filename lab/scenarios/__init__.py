"""The shipped scenarios by name. To add one: write it into its family's module (or a new one, named here)."""

from __future__ import annotations

from collections.abc import Iterable

from lab.errors import unknown_name
from lab.scenario import Scenario
from lab.scenarios import cluster, contention, network, nodes, steady, wire

FAMILIES = (steady, network, wire, nodes, contention, cluster)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for family in FAMILIES for scenario in family.SCENARIOS}


def choose(names: Iterable[str]) -> list[Scenario]:
    """Return the scenarios of these names, or all; raise UsageError with the nearest names for an unknown one."""
    wanted = list(names) or list(SCENARIOS)
    for name in wanted:
        if name not in SCENARIOS:
            raise unknown_name("scenario", name, SCENARIOS)
    return [SCENARIOS[name] for name in wanted]
