"""Where modules are: the dotted name of a file from its place, and the file of a dotted name."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

ABOVE = 6
"""Folders above a file's own in which a name that it imports is looked for, as ``sys.path`` might hold any of them."""


@dataclass(frozen=True, slots=True)
class Home:
    """What a file's imports count from: the folder *root*, which is on ``sys.path``, and its *package* below."""

    root: str
    package: tuple[str, ...]
    name: str
    """The file's own dotted name."""

    @property
    def top(self) -> str:
        """Return the first part of the file's own name."""
        return self.name.partition(".")[0]

    def absolute(self, level: int, name: str) -> str:
        """Return the dotted name that ``from <level dots><name> import`` means here, "" if it leads out of the root."""
        if level > len(self.package):
            return ""
        above = self.package[: len(self.package) - level + 1]
        return ".".join((*above, name) if name else above)


def home(path: str, least: int = 0) -> Home:
    """Return the home of a file; its package goes up while ``__init__.py`` is there, and at least *least* folders."""
    folder, file = os.path.split(os.path.abspath(path))  # noqa: PTH100 - as text: this runs for each file
    package: list[str] = []
    while (len(package) < least or _is_package(folder)) and os.path.basename(folder):  # noqa: PTH119
        folder, name = os.path.split(folder)
        package.insert(0, name)
    own = file.removesuffix(".py")
    return Home(folder, tuple(package), ".".join(package if own == "__init__" and package else (*package, own)))


class Places:
    """Finds the files of dotted names: among *files*, and on the disk those of the importing file's own package."""

    def __init__(self, files: Iterable[str | os.PathLike[str]]) -> None:
        self.files = {os.path.abspath(one) for one in files}  # noqa: PTH100
        self._folders: set[str] = set()
        for one in self.files:
            folder = os.path.dirname(one)  # noqa: PTH120
            while folder not in self._folders:
                self._folders.add(folder)
                folder = os.path.dirname(folder)  # noqa: PTH120
        self._bases: dict[tuple[str, str, bool], str | None] = {}
        self._found: dict[tuple[str, str], str | None] = {}

    def file(self, at: Home, name: str) -> str | None:
        """Return the path of the module or package *name*, as a file at home *at* imports it; None if absent."""
        top = name.partition(".")[0]
        key = (at.root, top, top == at.top)
        if key not in self._bases:
            self._bases[key] = self._base(at, top)
        base = self._bases[key]
        if base is None:
            return None
        if (base, name) not in self._found:
            stem = os.path.join(base, *name.split("."))  # noqa: PTH118
            both = (f"{stem}.py", f"{stem}{os.sep}__init__.py")
            known = (one for one in both if one in self.files or (top == at.top and _is_file(one)))
            self._found[base, name] = next(known, None)
        return self._found[base, name]

    def _base(self, at: Home, top: str) -> str | None:
        """Return the nearest folder above a file that holds what *top* names."""
        folder = at.root
        for _ in range(ABOVE):
            stem = os.path.join(folder, top)  # noqa: PTH118
            if stem in self._folders or f"{stem}.py" in self.files:
                return folder
            folder = os.path.dirname(folder)  # noqa: PTH120
        return at.root if top == at.top else None


@cache
def _is_file(path: str) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def _is_package(folder: str) -> bool:
    return _is_file(f"{folder}{os.sep}__init__.py")
