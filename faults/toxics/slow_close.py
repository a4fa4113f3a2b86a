"""A peer that takes its time to hang up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import DAY, MILLISECONDS, attribute


@dataclass(frozen=True, slots=True)
class SlowClose:
    """Pass data unhindered, and the end of the stream *delay* seconds late."""

    kind: ClassVar[str] = "slow_close"

    delay: float = attribute("delay", MILLISECONDS, most=DAY * 1000)

    async def pipe(self, stage: Stage) -> None:
        """Send everything, then hold the end back."""
        async for chunk in stage:
            await stage.send(chunk)
        if stage.ended:
            await stage.hold(until=stage.time() + self.delay)
