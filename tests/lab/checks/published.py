"""Where the published histories are, and what they are known to be. Tests that need them are skipped without them."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

VARIABLE = "LAB_HISTORIES"
"""The environment variable that names the folder; without it, it lies beside the repository."""

BESIDE = Path(__file__).parents[3].parent / "shared" / "histories"


def published(*parts: str) -> Path:
    """Return the path of a published history, as in ``published("jepsen", "bank.edn")``; skip the test without it."""
    folder = folder_of_histories()
    if folder is None:
        pytest.skip(f"no published histories: {VARIABLE} names no folder, and none lies beside the repository")
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no {'/'.join(parts)} among the published histories in {folder}")
    return path


def folder_of_histories() -> Path | None:
    """Return the folder of published histories, or None."""
    named = os.environ.get(VARIABLE)
    folder = Path(named) if named else BESIDE
    return folder if folder.is_dir() else None


def etcd_logs() -> list[tuple[Path, bool]]:
    """Return the logs of etcd in order, each with whether it is linearizable; skip the test without them."""
    folder = published("etcd")
    with (folder / "expected.csv").open(encoding="utf-8", newline="") as file:
        return [(folder / name, verdict == "true") for name, verdict in csv.reader(file)]
