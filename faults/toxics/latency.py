"""A slow network path."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import DAY, MILLISECONDS, attribute


@dataclass(frozen=True, slots=True)
class Latency:
    """Delay every chunk by *delay* plus or minus *jitter*, both in seconds; order is kept."""

    kind: ClassVar[str] = "latency"
    # Data in flight on a slow path: enough for 100 MB/s at 40 ms.
    capacity: ClassVar[int] = 4 * 1024 * 1024

    delay: float = attribute("latency", MILLISECONDS, most=DAY * 1000)
    jitter: float = attribute("jitter", MILLISECONDS, most=DAY * 1000)

    async def pipe(self, stage: Stage) -> None:
        """Send each chunk when its time has come, counted from its own arrival (delays overlap, as on a wire)."""
        async for chunk in stage:
            wait = self.delay + stage.random.uniform(-self.jitter, self.jitter)
            await stage.hold(until=chunk.arrived + wait)
            await stage.send(chunk)
