"""The lab inside other people's tests: what the fixtures of the pytest plugin are made of. See docs/pytest.md."""

from lab.testing.cluster import LabCluster
from lab.testing.faults import ArmedFault, LabFaults, NotFired
from lab.testing.moments import MOMENTS, named_fault
from lab.testing.scenarios import LabScenario, explain

__all__ = [
    "MOMENTS",
    "ArmedFault",
    "LabCluster",
    "LabFaults",
    "LabScenario",
    "NotFired",
    "explain",
    "named_fault",
]
