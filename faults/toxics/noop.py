"""The toxic that does nothing: a place holder, and the measure of what a stage costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage


@dataclass(frozen=True, slots=True)
class Noop:
    """Pass everything on."""

    kind: ClassVar[str] = "noop"

    async def pipe(self, stage: Stage) -> None:
        """Send every chunk as it came."""
        async for chunk in stage:
            await stage.send(chunk)
