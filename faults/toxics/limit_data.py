"""A connection that ends after so many bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from faults.stage import Stage
from faults.toxics._attributes import BYTES, attribute


@dataclass(frozen=True, slots=True)
class LimitData:
    """Pass exactly *limit* bytes, counted from when the toxic took hold of the connection, then close it."""

    kind: ClassVar[str] = "limit_data"

    limit: float = attribute("bytes", BYTES, most=2**53)

    async def pipe(self, stage: Stage) -> None:
        """Send what is left of the allowance, and close with its last byte."""
        async for chunk in stage:
            left = max(0, int(self.limit) - stage.sent)
            if chunk.size < left:
                await stage.send(chunk)
                continue
            if left:
                await stage.send(chunk.cut(0, left))
            stage.close()
            return
