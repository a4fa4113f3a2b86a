"""What one connection has waiting for its rules: to be released, or for a time to pass."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from faults.rulebook import ArmedRule


class Waits:
    """Each wait is known to its rule, which may release it, and is gone with the connection."""

    def __init__(self) -> None:
        self._waits: dict[object, tuple[ArmedRule, asyncio.TimerHandle | None]] = {}

    @property
    def endless(self) -> bool:
        """Whether something waits that no time ends."""
        return any(armed.rule.action != "delay" for armed, _ in self._waits.values())

    def add(self, armed: ArmedRule, go_on: Callable[[], None]) -> None:
        """Call *go_on* when the rule is released, or after its delay."""
        token = object()

        def let_go() -> None:
            armed.waiting.pop(token, None)
            if self._waits.pop(token, None) is not None:
                go_on()

        loop, rule = asyncio.get_running_loop(), armed.rule
        armed.waiting[token] = let_go
        self._waits[token] = armed, loop.call_later(rule.seconds, let_go) if rule.action == "delay" else None

    def clear(self) -> None:
        """Forget all: nothing goes on."""
        for token, (armed, timer) in self._waits.items():
            armed.waiting.pop(token, None)
            if timer is not None:
                timer.cancel()
        self._waits.clear()
