"""How fast an audit reads: SQLAlchemy's own installed source, side by side with what ``ast.parse`` alone takes."""

from __future__ import annotations

import ast
import gc
import statistics
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import sqlalchemy

from lab.audit import audit_paths

ROUNDS = 5
AIM = 150
"""Files per second."""


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall-clock and the processor's seconds of *work*; the second do not count what others do meanwhile."""
    began, spent = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - spent


def parse_only(files: list[Path]) -> None:
    """Read and parse every file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for path in files:
            ast.parse(path.read_bytes())


def without_collector(files: list[Path]) -> None:
    """Do the same without looking for circles among objects, as the audit does."""
    gc.disable()
    try:
        parse_only(files)
    finally:
        gc.enable()


def main() -> int:
    """Measure in interleaved rounds, and print medians."""
    root = Path(sqlalchemy.__file__).parent
    files = sorted(root.rglob("*.py"))
    audited = audit_paths([root])
    assert audited.files == len(files)
    rounds = [
        (
            seconds(lambda: parse_only(files)),
            seconds(lambda: without_collector(files)),
            seconds(lambda: audit_paths([root])),
        )
        for _ in range(ROUNDS)
    ]
    size = sum(path.stat().st_size for path in files) / 1e6
    print(f"SQLAlchemy {version('sqlalchemy')}: {len(files)} files, {size:.1f} MB, {len(audited.findings)} findings")
    for name, number in (("ast.parse alone", 0), ("  collector off", 1), ("lab audit", 2)):
        wall, cpu = (statistics.median(one[number][clock] for one in rounds) for clock in (0, 1))
        print(f"  {name:<16}{len(files) / wall:>6.0f} files/s  {len(files) / cpu:>6.0f} per second of the processor")
    alone, bare = (statistics.median(one[2][1] / one[number][1] for one in rounds) for number in (0, 1))
    print(
        f"  the audit takes {alone:.2f} times as long as parsing alone ({bare:.2f} collector off); aim: {AIM} files/s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
