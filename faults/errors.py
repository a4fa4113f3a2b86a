"""Errors of the proxy and its control API: each knows the HTTP status that tells it to a client.

FaultError
├── BadRequest              400: the request is wrong; the message says what would be right
├── NotFound                404: no such proxy or toxic
├── Conflict                409: the name is taken
├── ListenFailed            500: the operating system refused the address
├── MalformedPlan           a plan that cannot be read; names the place
├── ControlUnreachable      (client) nothing answers at the control address
└── ControlRefused          (client) the server answered with an error; carries its status and reason
"""

from __future__ import annotations


class FaultError(Exception):
    """Root of everything that this package raises on purpose."""

    status = 500


class BadRequest(FaultError):
    """The request cannot be understood or holds a value that makes no sense."""

    status = 400


class NotFound(FaultError):
    """The named proxy or toxic does not exist."""

    status = 404


class Conflict(FaultError):
    """The name is already in use."""

    status = 409


class ListenFailed(FaultError):
    """The operating system refused the listening address; the message has its words."""


class MalformedPlan(FaultError):
    """A plan that cannot be read; the message names the step and what is wrong with it."""

    status = 400


class ControlUnreachable(FaultError):
    """No control API answers at the address within the time-out."""


class ControlRefused(FaultError):
    """The control API answered with an error: *status* is the HTTP status, the message its reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
