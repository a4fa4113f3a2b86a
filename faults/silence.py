"""Sockets to which the kernel gives nothing any more: what comes for them is dropped before TCP has seen it.

So nothing is acknowledged, neither data nor keep-alive probes, and on a listening socket no SYN is answered: to its
peers the host is gone. A classic BPF socket filter does it, without any privilege; Linux only.
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import sys
import termios
from typing import Final, Protocol

from faults.errors import BadRequest

POSSIBLE: Final = sys.platform == "linux"
"""Whether this system can."""

_ATTACH: Final = 26
_DETACH: Final = 27
_RETURN: Final = 0x06


class Settable(Protocol):
    """A socket, or what an event loop shows of it."""

    def setsockopt(self, level: int, option: int, value: int | bytes, /) -> None:
        """Set an option."""

    def fileno(self) -> int:
        """Return its descriptor."""


class _Instruction(ctypes.Structure):
    _fields_ = (("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.POINTER(_Instruction)))


_NOTHING: Final = _Instruction(_RETURN, 0, 0, 0)
_DROP_ALL: Final = bytes(_Program(1, ctypes.pointer(_NOTHING)))


def silence(sock: Settable) -> None:
    """Have the kernel drop whatever comes for *sock*. Raise BadRequest where the system does not allow it."""
    if not POSSIBLE:
        raise BadRequest(f"a proxy can vanish on Linux only, not on {sys.platform}: use a toxic 'timeout' instead")
    try:
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH, _DROP_ALL)
    except OSError as error:
        raise BadRequest(f"this system lets no proxy vanish (SO_ATTACH_FILTER: {error.strerror or error})") from error


def hear(sock: Settable) -> None:
    """Let the kernel take what comes for *sock* again; it may not have been silent."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _DETACH, 0)
    except OSError:
        return  # it had no filter, or is gone


def unacknowledged(sock: Settable) -> int:
    """Return how many bytes were sent on *sock* that its peer's kernel has not acknowledged."""
    if sock.fileno() < 0:
        return 0
    waiting = ctypes.c_int()
    fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, waiting)
    return waiting.value
