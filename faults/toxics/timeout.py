"""A black hole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import DAY, MILLISECONDS, attribute


@dataclass(frozen=True, slots=True)
class Timeout:
    """Drop all data of the stream; close the connection *timeout* seconds after the start, never when it is 0.

    The time counts from when the toxic took hold of the connection, whatever traffic comes.
    """

    kind: ClassVar[str] = "timeout"

    timeout: float = attribute("timeout", MILLISECONDS, most=DAY * 1000)

    async def pipe(self, stage: Stage) -> None:
        """Swallow chunks until the time is over, then close."""
        if self.timeout:
            stage.set_alarm(stage.started + self.timeout)
        async for chunk in stage:
            stage.drop(chunk)
        if stage.alarm_rang:
            stage.close()
