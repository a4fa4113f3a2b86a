"""The shipped scenarios by name. To add one: write it into its family's module (or a new one, named here)."""

from __future__ import annotations

from collections.abc import Iterable

from lab.errors import unknown_name
from lab.scenario import Scenario
from lab.scenarios import anomalies, cluster, contention, network, nodes, steady, wire
from lab.workloads import choose_workload

FAMILIES = (steady, network, wire, nodes, contention, anomalies, cluster)

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for family in FAMILIES for scenario in family.SCENARIOS}


def choose(names: Iterable[str], workload: str | None = None) -> list[Scenario]:
    """Return the scenarios of these names, or all, with the *workload* of a name in place of their own if one is given.

    Raises UsageError with the nearest names for an unknown one.
    """
    wanted = list(names) or list(SCENARIOS)
    for name in wanted:
        if name not in SCENARIOS:
            raise unknown_name("scenario", name, SCENARIOS)
    chosen = [SCENARIOS[name] for name in wanted]
    return [s.with_workload(choose_workload(workload)) for s in chosen] if workload is not None else chosen
