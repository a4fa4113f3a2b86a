"""Logs of nodes that failed, kept where they outlive the run that is about to be removed."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = "logs"

MOST_KEPT: Final = 5
"""Runs whose logs are kept; the oldest make room."""

MOST_OF_A_LOG: Final = 4 * 1024 * 1024
"""Bytes at the end of each log that are kept."""


def keep_logs(run: Path, logs: Mapping[str, bytes]) -> str:
    """Keep *logs* by name for the run in folder *run*; return where, to be said in a message (empty: not possible)."""
    folder = run.parent / FOLDER / run.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, said in logs.items():
            (folder / f"{name}.log").write_bytes(said[-MOST_OF_A_LOG:])
        for old in sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)[:-MOST_KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return ""  # the trouble that the logs are about is the news
    return str(folder)
