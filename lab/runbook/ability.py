"""What a cluster can be rehearsed for: told before anything is touched."""

from __future__ import annotations

import shutil
from collections.abc import Collection
from pathlib import Path

from faults.kinds import EVERY_NODE
from lab.clusters.base import Capability, Cluster, require
from lab.errors import NotCapable
from lab.runbook.model import PROGRAM, SECTIONS, Answers, Runbook
from lab.runbook.parse import needs_of_line


def facts_of(cluster: Cluster) -> frozenset[str]:
    """Return the conditions that hold of a started *cluster*."""
    programs = {PROGRAM} if program_of(cluster) else set()
    return frozenset({cluster.direct.dialect, *programs, *(capability.value for capability in cluster.capabilities)})


def program_of(cluster: Cluster) -> Path | None:
    """Return the ``cockroach`` that may be asked about a cluster without credentials; None if there is none."""
    binary = getattr(cluster, "binary", None)
    if isinstance(binary, Path):
        return binary
    found = shutil.which("cockroach") if cluster.name == "compose" else None
    return Path(found) if found else None


def needed_of(runbook: Runbook, facts: Collection[str]) -> frozenset[Capability]:
    """Return what the runbook needs, and what it injects where the *facts* hold needs."""
    return runbook.needs.union(*(needs_of_line(line) for line in runbook.lines("Symptom", facts)))


def nodes_of(runbook: Runbook, facts: Collection[str]) -> int:
    """Return how many nodes the runbook takes: the most that one of its looks at every node counts to."""
    lines = [line for section in SECTIONS for line in runbook.lines(section, facts)]
    counted = [
        int(line.expected.number)
        for line in lines
        if isinstance(line.action, Answers) and line.action.on == EVERY_NODE and line.expected is not None
    ]
    return max([1, *counted])


def is_able(runbook: Runbook, cluster: Cluster) -> bool:
    """Tell whether *cluster* can do what the runbook needs and injects."""
    try:
        require_able(runbook, cluster)
    except NotCapable:
        return False
    return True


def require_able(runbook: Runbook, cluster: Cluster) -> None:
    """Raise NotCapable, naming what is missing, if *cluster* cannot do what the runbook needs or injects."""
    able = {capability.value for capability in cluster.capabilities}
    unfit = [
        group[0].condition
        for block in runbook.of("Symptom")
        for group in block.groups
        if all(line.condition is not None and line.condition not in able for line in group)
    ]
    needed = needed_of(runbook, able) | {Capability(name) for name in unfit if name}
    require(cluster, needed, f"the runbook '{runbook.name}'")
    nodes, known = nodes_of(runbook, able), len(cluster.node_names)
    if known < nodes:
        remedy = "; name more addresses with --dsn" if cluster.name == "external" else ""
        raise NotCapable(
            f"the runbook '{runbook.name}' needs {nodes} nodes, and the cluster '{cluster.name}' has {known}{remedy}"
        )
