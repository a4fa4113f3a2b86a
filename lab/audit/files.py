"""Which files an audit reads: in the same order everywhere, each once, and with a word about what is left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from lab.audit.findings import Skipped, Trouble
from lab.errors import unknown_name

LARGEST = 2_000_000
"""Bytes of the largest file that is read: what is larger was written by a program."""

LEFT_OUT = frozenset({".venv", "venv", "node_modules", ".git", "__pycache__", ".tox", ".nox", ".mypy_cache", ".hg"})
"""Folders that are not entered, unless they are named."""


def find(paths: Iterable[Path]) -> Iterator[Path | Skipped]:
    """Yield the files that *paths* name, and the ``.py`` files of the folders that they name, each once, in order.

    Links are followed, but not round in a circle. Raises UsageError for a path that is not there.
    """
    seen: set[str] = set()
    for path in paths:
        if not path.exists():
            near = [str(path.parent / one) for one in _names(path.parent)] if path.parent.is_dir() else []
            raise unknown_name("path", str(path), near or ["a file or a folder that is there"])
        for place in _walk(path, frozenset()) if path.is_dir() else (path,):
            if isinstance(place, Skipped):
                yield place
            elif (whole := os.path.realpath(place)) not in seen:
                seen.add(whole)
                yield place


def _walk(folder: Path, above: frozenset[str]) -> Iterator[Path | Skipped]:
    here = os.path.realpath(folder)
    if here in above:
        yield Skipped(str(folder), "a link that leads round in a circle")
        return
    try:
        names = sorted(_names(folder))
    except OSError as error:
        yield Skipped(str(folder), f"cannot be listed: {error.strerror}")
        return
    for name in names:
        path = folder / name
        if path.is_dir():
            if name not in LEFT_OUT:
                yield from _walk(path, above | {here})
        elif name.endswith(".py"):
            yield path


def _names(folder: Path) -> list[str]:
    return os.listdir(folder)  # noqa: PTH208 - names are what is sorted


def read(path: Path) -> bytes | Trouble | Skipped:
    """Return the content of a file, or why there is none."""
    try:
        about = path.stat()
        if not stat.S_ISREG(about.st_mode):
            return Skipped(str(path), "no regular file")
        if about.st_size > LARGEST:
            return Skipped(str(path), f"{about.st_size} bytes: more than {LARGEST} are not read")
        content = path.read_bytes()
    except OSError as error:
        return Trouble(str(path), 0, f"cannot be read: {error.strerror}")
    return Skipped(str(path), "a binary file") if b"\0" in content else content
