"""Errors of the database layer.

LabError
└── ConnectTimedOut         no connection within the bound; nothing was sent (also a TimeoutError)
"""

from __future__ import annotations

from lab.db.target import Address
from lab.errors import LabError


class ConnectTimedOut(LabError, TimeoutError):
    """No connection to *address* within *seconds*: a black hole, an overloaded node, or a bound that is too small."""

    def __init__(self, address: Address, seconds: float) -> None:
        super().__init__(f"no connection to {address} within {seconds:g} s")
        self.address = address
        self.seconds = seconds
