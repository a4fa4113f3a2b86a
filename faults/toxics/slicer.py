"""A path that cuts data into small pieces."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from faults.errors import BadRequest
from faults.stage import Stage
from faults.toxics._attributes import BYTES, DAY, MICROSECONDS, attribute


@dataclass(frozen=True, slots=True)
class Slicer:
    """Cut chunks into pieces of *average_size* plus or minus *size_variation* bytes, *delay* seconds after each."""

    kind: ClassVar[str] = "slicer"

    average_size: float = attribute("average_size", BYTES, least=1, most=2**31)
    size_variation: float = attribute("size_variation", BYTES, most=2**31)
    delay: float = attribute("delay", MICROSECONDS, most=DAY * 1e6)

    def __post_init__(self) -> None:
        """Refuse a variation that would ask for pieces of a negative size."""
        if self.size_variation > self.average_size:
            raise BadRequest("slicer: attribute 'size_variation' must not be above 'average_size'")

    async def pipe(self, stage: Stage) -> None:
        """Send piece after piece, resting after each."""
        async for chunk in stage:
            for start, stop in self._cuts(chunk.size, stage):
                await stage.send(chunk.cut(start, stop))
                if start and not self.delay:
                    stage.touch()  # holding is on record by itself
                await stage.hold(until=stage.time() + self.delay)

    def _cuts(self, size: int, stage: Stage) -> Iterator[tuple[int, int]]:
        start = 0
        while start < size:
            length = self.average_size + stage.random.uniform(-self.size_variation, self.size_variation)
            stop = min(size, start + max(1, round(length)))
            yield start, stop
            start = stop
