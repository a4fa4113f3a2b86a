"""How fast histories of transactions are judged, and what it takes: ``python -m benchmarks.cycles [TRANSACTIONS...]``.

Valid list-append histories in memory, judged with real-time edges (strict serializability). The bare baseline is one
strongly-connected-components call on as many nodes and edges, which no checker of cycles can do without. Each size runs
in a process of its own, so that its peak of memory is its own; "history" is what the history itself takes.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time

import numpy as np
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components

from benchmarks._histories import list_append, long_cycle, stale_reads
from lab.checks.cycles import serializable
from lab.history import History
from lab.verdict import Verdict

SIZES = (100_000, 1_000_000)
EDGES = 9
"""Dependencies for each transaction of these histories, those of real time included (measured)."""

MUTUAL = 3_000
ROUNDS = 3


def main() -> None:
    """Measure, and print a table."""
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(int(sys.argv[2]))))
        return
    sizes = [int(argument) for argument in sys.argv[1:] if argument.isdecimal()] or SIZES
    print("list-append, real-time edges, valid, in memory; best of", ROUNDS)
    for size in sizes:
        out = subprocess.run(
            [sys.executable, "-m", "benchmarks.cycles", "--one", str(size)], check=True, capture_output=True, text=True
        )
        one = json.loads(out.stdout)
        print(
            f"{size:>9,} transactions: {one['seconds']:6.2f} s = {size / one['seconds']:>9,.0f} transactions/s, "
            f"{one['seconds'] / one['floor']:4.1f}x of bare components ({one['floor']:.2f} s); "
            f"peak {one['peak'] / 1e9:.2f} GB, of which the history {one['history'] / 1e9:.2f} GB"
        )
    for name, history in (("stale reads", stale_reads(MUTUAL)), ("one long cycle", long_cycle(MUTUAL))):
        seconds, steps = witnessed(history)
        print(f"{MUTUAL:,} mutually dependent, {name}: shortest witness of {steps} steps in {seconds:.2f} s")


def measured(size: int) -> dict[str, float]:
    """Return seconds and bytes for one size."""
    history = History(tuple(list_append(size)))
    before = peak()
    check = serializable("list-append", level="strict-serializable")
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        finding = check(history)
        seconds.append(time.perf_counter() - begun)
        assert finding.verdict is Verdict.PASS, finding.why
    return {"seconds": min(seconds), "peak": peak(), "history": before, "floor": floor(size)}


def peak() -> float:
    """Return the most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def floor(size: int) -> float:
    """Return the seconds of bare components of a graph of this size without cycles."""
    random = np.random.default_rng(1)
    source = random.integers(0, size - 1, size * EDGES)
    target = np.minimum(source + random.integers(1, 100, len(source)), size)
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        graph = csr_array((np.ones(len(source), np.int8), (source, target)), shape=(size + 1, size + 1))
        connected_components(graph, directed=True, connection="strong")
        seconds.append(time.perf_counter() - begun)
    return min(seconds)


def witnessed(history: History) -> tuple[float, int]:
    """Return the best seconds until the verdict, and the steps of the shortest cycle."""
    seconds = []
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        finding = serializable("list-append")(history)
        seconds.append(time.perf_counter() - begun)
    assert finding.verdict is Verdict.FAIL
    return min(seconds), min(len(anomaly.cycle) for anomaly in finding.anomalies if anomaly.cycle)


if __name__ == "__main__":
    main()
