"""A connection that is torn down under traffic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import DAY, MILLISECONDS, attribute


@dataclass(frozen=True, slots=True)
class ResetPeer:
    """Drop the first data (or end) of the stream, and *timeout* seconds later reset the connection on both sides.

    On the upstream side the request never reaches the server; on the downstream side it does and its reply is lost.
    """

    kind: ClassVar[str] = "reset_peer"

    timeout: float = attribute("timeout", MILLISECONDS, most=DAY * 1000)

    async def pipe(self, stage: Stage) -> None:
        """Wait for something to destroy, then destroy the connection."""
        if not stage.dropped:
            async for chunk in stage:
                stage.drop(chunk)
                break
        if stage.dropped or stage.ended:
            await stage.hold(until=stage.time() + self.timeout)
            if not stage.interrupted:
                stage.abort()
