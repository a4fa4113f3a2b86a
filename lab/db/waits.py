"""How long the calls of an engine may take at worst: a formula of its arguments."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Waits:
    """The client's time-outs of `resilient_engine`, by the names of its arguments, all in seconds."""

    pool_timeout: float = 5.0
    ping_timeout: float = 1.0
    connect_timeout: float = 2.0
    command_timeout: float = 5.0
    close_timeout: float = 0.25

    @property
    def checkout(self) -> float:
        """A place in the pool, a ping without an answer, a dead connection closed, and another one opened."""
        return self.pool_timeout + self.ping_timeout + self.close_timeout + self.connect_timeout

    @property
    def exchange(self) -> float:
        """A statement without an answer, the ROLLBACK behind it without one, and the connection closed."""
        return 2 * self.command_timeout + self.close_timeout

    @property
    def unit(self) -> float:
        """A unit of work until the application knows of a fault: a checkout, and the exchange that never ended.

        Exchanges that go well add their own time, at most *command_timeout* each.
        """
        return self.checkout + self.exchange

    def synchronous(self) -> Waits:
        """Return those of the synchronous engine: libpq takes whole seconds to connect, 2 at least."""
        whole = max(2, math.ceil(self.connect_timeout))
        return Waits(self.pool_timeout, self.ping_timeout, whole, self.command_timeout, self.close_timeout)
