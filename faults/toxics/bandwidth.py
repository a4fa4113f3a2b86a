"""A narrow network path."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import KILOBYTES, attribute

TICK = 0.1
"""Longest time (seconds) between two pieces of a large chunk."""


@dataclass(frozen=True, slots=True)
class Bandwidth:
    """Let at most *rate* bytes a second through, for each connection; nothing at all passes at rate 0."""

    kind: ClassVar[str] = "bandwidth"

    rate: float = attribute("rate", KILOBYTES, most=1e9)

    async def pipe(self, stage: Stage) -> None:
        """Send pieces of at most a tick's worth, each when the line would have carried it."""
        free = stage.time()
        async for chunk in stage:
            piece = max(1, int(self.rate * TICK)) if self.rate else chunk.size
            free = max(free, chunk.arrived)
            for start in range(0, chunk.size, piece):
                part = chunk.cut(start, start + piece)
                free += part.size / self.rate if self.rate else math.inf
                await stage.hold(until=free)
                await stage.send(part)
