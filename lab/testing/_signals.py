"""SIGTERM and SIGHUP end a test session as Ctrl-C does: fixtures end, and the cluster is taken away."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Final

ENDING: Final = (signal.SIGTERM, signal.SIGHUP)


class Ended(KeyboardInterrupt):
    """A signal has asked the session to end; pytest knows how to end for its kind."""


@contextlib.contextmanager
def ending_as_ctrl_c() -> Iterator[None]:
    """Have `ENDING` raise `Ended` in the main thread, once; whoever has a handler of their own keeps it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ours = [number for number in ENDING if signal.getsignal(number) is signal.SIG_DFL]
    for number in ours:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _frame: FrameType | None) -> None:
    for one in ENDING:
        if signal.getsignal(one) is _end:
            signal.signal(one, signal.SIG_IGN)  # cleaning up is finished once it has begun
    raise Ended(f"ended by {signal.Signals(number).name}")
