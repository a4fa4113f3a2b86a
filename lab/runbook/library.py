"""Where runbooks are: the shipped ones by name, any other by its path."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from lab.errors import MalformedFile, UsageError, unknown_name
from lab.runbook.model import Runbook
from lab.runbook.parse import check, parse

_HERE = Path(__file__).parent
FOLDERS = (_HERE.parents[1] / "runbooks", _HERE / "_shipped")
"""In a checkout, and in an installed lab, which has none above it."""


def folder() -> Path:
    """Return the folder of the shipped runbooks."""
    return next((path for path in FOLDERS if path.is_dir()), FOLDERS[0])


def shipped() -> dict[str, Path]:
    """Return the files of the shipped runbooks by name."""
    return {path.stem: path for path in sorted(folder().glob("*.md")) if path.stem != "README"}


def find(name: str) -> Runbook:
    """Return the runbook of a name or path; UsageError with the nearest names, MalformedFile for one that is wrong."""
    path = Path(name)
    if name in shipped():
        path = shipped()[name]
    elif path.suffix != ".md" and not path.is_file():
        raise unknown_name("runbook", name, shipped())
    return parse(read(path), shown(path))


def read(path: Path) -> str:
    """Return the text of a runbook; raise MalformedFile if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise MalformedFile(str(path), 0, f"not UTF-8: {error.reason} at byte {error.start}") from error
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error


def shown(path: Path) -> str:
    """Return the path as people name it: below the current folder, if it is there."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def problems_of(names: Iterable[Path]) -> tuple[int, list[MalformedFile]]:
    """Return how many runbooks these files and folders hold (all shipped ones by default), and all their problems."""
    paths: list[Path] = []
    for name in names:
        paths += sorted(p for p in name.glob("*.md") if p.stem != "README") if name.is_dir() else [name]
        if name.is_dir() and not paths:
            raise UsageError(f"there is no runbook (*.md) in '{name}'")
    found: list[MalformedFile] = []
    for path in paths or shipped().values():
        try:
            found += check(read(path), shown(path))
        except MalformedFile as problem:
            found.append(problem)
    return len(paths or shipped()), found
