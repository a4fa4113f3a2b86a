"""What can be wrong with a conversation.

WireError
├── NotPostgres             the first bytes are no PostgreSQL start-up: the connection is somebody else's business
└── ProtocolViolation       a conversation that began as PostgreSQL and cannot be followed any more
"""

from __future__ import annotations

from faults.errors import FaultError


class WireError(FaultError):
    """Root of everything that is wrong with a conversation."""


class NotPostgres(WireError):
    """The client does not speak PostgreSQL's protocol 3 in clear."""


class ProtocolViolation(WireError):
    """A message that cannot be; the message says which and why."""
