"""Databases that the lab made on clusters of others, by name: a killed run leaves one, which a later run drops.

Only names are kept, in the state folder beside the runs. Whoever has the credentials again can drop what is listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from lab.errors import EnvironmentProblem
from lab.state import ROOT_VARIABLE, survey

FOLDER: Final = "databases"


def remember(run: Path, database: str) -> None:
    """Note that the run in folder *run* is about to make *database*; EnvironmentProblem if that cannot be written."""
    folder = run.parent / FOLDER
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        draft = folder / f".{database}"  # never half a note, which would name nobody and so a dead run
        draft.write_text(run.name, encoding="ascii")
        draft.replace(folder / database)
    except OSError as error:
        problem = f"cannot write in {folder}: {error.strerror or error}"
        raise EnvironmentProblem(problem, f"set {ROOT_VARIABLE} to a folder of your own") from error


def forget(run: Path, database: str) -> None:
    """Note that *database* is gone."""
    (run.parent / FOLDER / database).unlink(missing_ok=True)


def of_dead_runs(run: Path) -> list[str]:
    """Return the databases whose runs are over, as seen from the run in folder *run*."""
    folder = run.parent / FOLDER
    if not folder.is_dir():
        return []
    # The notes first: a run that begins in between would not be among the living.
    owners = {path.name: _owner(path) for path in folder.iterdir() if not path.name.startswith(".")}
    alive = {info.id for info in survey(run.parent) if info.state != "dead"}
    return sorted(database for database, owner in owners.items() if owner is not None and owner not in alive)


def _owner(note: Path) -> str | None:
    try:
        return note.read_text(encoding="ascii")
    except FileNotFoundError:
        return None  # its run was faster
