"""Standard streams that do not get in the way: closed ones, full disks, readers that go away, narrow encodings."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TextIO, cast

from rich.console import Console


class Unheard(Exception):
    """Standard output takes no more: its reader is gone (*gone*) or its disk is full."""

    def __init__(self, reason: str, *, gone: bool) -> None:
        super().__init__(f"cannot write to standard output: {reason}; send it elsewhere")
        self.gone = gone


class Answers(Console):
    """Standard output; raises Unheard when nobody can hear it."""

    def print(self, *objects: Any, **options: Any) -> None:
        """Print as rich does."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            raise unheard(error) from error

    def on_broken_pipe(self) -> NoReturn:
        """Say it our way; rich would end the process as if a check had failed."""
        raise unheard(BrokenPipeError())


class Progress(io.TextIOBase):
    """Standard error; what nobody can hear is dropped, because a run has more important things to do."""

    def write(self, text: str) -> int:
        """Write *text* if that is possible."""
        stream = _stderr()
        with _dropped():
            if stream is not None:
                stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush what can be flushed."""
        stream = _stderr()
        with _dropped():
            if stream is not None:
                stream.flush()

    def isatty(self) -> bool:
        """Tell whether a terminal shows it."""
        stream = _stderr()
        return stream is not None and stream.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has it as an attribute
        """The encoding, which decides what rich draws boxes with."""
        stream = _stderr()
        return stream.encoding if stream is not None else "utf-8"


def _stderr() -> TextIO | None:
    # Not sys.stderr: while something moves on the terminal, rich puts itself in its place.
    return sys.__stderr__


@contextmanager
def _dropped() -> Iterator[None]:
    try:
        yield
    except OSError:
        _lead_nowhere(2)
    except ValueError:
        pass  # it is closed


def _lead_nowhere(number: int) -> None:
    """Give up what is still buffered for a standard stream: the interpreter ends with 120 if it cannot write that."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)


def progress_console() -> Console:
    """Return a console on standard error that cannot fail."""
    return Console(file=cast("TextIO", Progress()), highlight=False, emoji=False)


def unheard(error: OSError) -> Unheard:
    """Return what is raised when standard output cannot be written; what is still buffered for it is given up."""
    _lead_nowhere(1)
    return Unheard(error.strerror or "its reader is gone", gone=isinstance(error, BrokenPipeError))


def prepare_streams() -> None:
    """Give a closed standard stream a place to go, and show what an encoding lacks as question marks.

    A closed one would leave its number to the next file that is opened, a socket of the event loop among them, which
    cannot live there.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number, inheritable=True)
        if getattr(sys, name) is None:
            stream = open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115 - it stays open
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
