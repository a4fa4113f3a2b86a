"""Links through a Toxiproxy, which keeps no record: what is believed of them, and what is not."""

from __future__ import annotations

from collections import defaultdict
from typing import Any, cast

import pytest

from faults.client import EvidenceInfo
from faults.plan import BendLinks, Isolate
from faults.topology import LinkName
from faults.toxics import Latency
from lab.arming import arm
from lab.clusters.base import Cluster, Node
from lab.db.target import Address


def record(link: LinkName, name: str, events: int) -> EvidenceInfo:
    """Return what a link's proxy says of a fault that did something, or nothing."""
    at = 1.0 if events else None
    return EvidenceInfo(str(link), name, name, "upstream", 0.0, 2.0, at, at, events, 0, events, [])


class RememberingLinks:
    """Links that have a record for each fault, as every link proxy has; *events* is what the next fault will do."""

    name = "remembering"
    nodes = (Node("n1", Address("127.0.0.1", 1)), Node("n2", Address("127.0.0.1", 2)))

    def __init__(self) -> None:
        self.events = 1
        self.records: defaultdict[tuple[str, str], list[EvidenceInfo]] = defaultdict(list)

    async def bend_link(self, link: LinkName, _toxic: Latency, name: str) -> None:
        self.records[str(link), name].append(record(link, name, self.events))

    async def straighten_link(self, _link: LinkName, _name: str) -> None: ...

    async def cut_link(self, link: LinkName) -> None:
        self.records[str(link), "down"].append(record(link, "down", self.events))

    async def join_link(self, _link: LinkName) -> None: ...

    async def link_evidence(self, link: LinkName, name: str) -> list[EvidenceInfo]:
        return self.records[str(link), name]


@pytest.mark.parametrize("fault", [BendLinks(Latency(delay=0.1)), Isolate(on="n1")], ids=lambda fault: fault.kind)
async def test_what_a_step_did_in_an_earlier_scenario_is_no_evidence_in_the_next(fault: Any) -> None:
    links = RememberingLinks()
    cluster = cast("Cluster", links)
    first = await (await arm(cluster, "step1", fault))()
    links.events = 0
    second = await (await arm(cluster, "step1", fault))()

    assert (first.events, second.events) == (2, 0)
    assert second.note == "it touched no connection"
