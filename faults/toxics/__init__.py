"""The toxics. To add one: write its file, and add its class to TOXICS."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TypeAlias

from faults.errors import BadRequest
from faults.toxics._attributes import Number, from_api, to_api
from faults.toxics.bandwidth import Bandwidth
from faults.toxics.latency import Latency
from faults.toxics.limit_data import LimitData
from faults.toxics.noop import Noop
from faults.toxics.reset_peer import ResetPeer
from faults.toxics.slicer import Slicer
from faults.toxics.slow_close import SlowClose
from faults.toxics.timeout import Timeout

Toxic: TypeAlias = Bandwidth | Latency | LimitData | Noop | ResetPeer | Slicer | SlowClose | Timeout

TOXICS: dict[str, type[Toxic]] = {
    toxic.kind: toxic for toxic in (Bandwidth, Latency, LimitData, Noop, ResetPeer, Slicer, SlowClose, Timeout)
}


def make_toxic(kind: str, attributes: Mapping[str, object]) -> Toxic:
    """Return a toxic made from the API's *attributes*; raise BadRequest, with the reason, if they make no sense."""
    if kind not in TOXICS:
        near = difflib.get_close_matches(kind, TOXICS, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(TOXICS)}"
        raise BadRequest(f"invalid toxic type '{kind}': {hint}")
    return from_api(TOXICS[kind], kind, attributes)


def attributes_of(toxic: Toxic) -> dict[str, Number]:
    """Return the attributes of *toxic* as Toxiproxy's API writes them (milliseconds, KB/s, bytes)."""
    return to_api(toxic)


__all__ = [
    "TOXICS",
    "Bandwidth",
    "Latency",
    "LimitData",
    "Noop",
    "ResetPeer",
    "Slicer",
    "SlowClose",
    "Timeout",
    "Toxic",
    "attributes_of",
    "make_toxic",
]
