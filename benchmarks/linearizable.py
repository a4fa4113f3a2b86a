"""Linearizable registers: all published logs of etcd, and larger histories made here, ours against porcupine itself.

Both read the same files, check one after the other in one process, and time the checking alone; the seconds with the
start are those of the whole process, reading included. The two take turns, and medians are told. The published logs are
found as the tests find them, or in the folder given (that of histories, or of the logs).
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from lab.checks.linearizable import search
from lab.formats import read_history
from lab.verdict import Verdict
from tests.lab.checks.published import folder_of_histories

ROUNDS = 5
LIMIT = 20.0
"""Seconds that porcupine gets for one log; ours has its default effort."""

BUILDING = 300.0
"""Seconds at most for building porcupine, which downloads its module the first time."""

PORCUPINE = Path(__file__).parent / "porcupine"

MADE = (
    ("5 clients", 5, 1_000, 0.0, True),
    ("10 clients, unknown outcomes", 10, 2_000, 0.02, True),
    ("10 clients, illegal", 10, 2_000, 0.0, False),
    ("10 clients, unknown outcomes, illegal", 10, 2_000, 0.01, False),
    ("40 clients", 40, 5_000, 0.0, True),
    ("10 clients, long", 10, 50_000, 0.0, True),
)
"""Name, clients, operations, share of unknown outcomes, and whether there is a legal order."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One process that checked all logs: verdict and seconds of each, seconds of the process, and its peak memory."""

    verdicts: dict[str, str]
    seconds: dict[str, float]
    whole: float
    megabytes: float

    @property
    def checking(self) -> float:
        """Seconds of checking alone."""
        return sum(self.seconds.values())


def check_ours(paths: Sequence[str]) -> int:
    """Check logs, and print what the Go program prints."""
    logs = []
    for path in paths:
        operations = read_history(Path(path)).operations
        started = time.perf_counter()
        verdict = search(operations).verdict
        logs.append({"name": Path(path).name, "verdict": str(verdict), "seconds": time.perf_counter() - started})
    scale = 1024 * 1024 if sys.platform == "darwin" else 1024
    print(json.dumps({"logs": logs, "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / scale}))
    return 0


def run(command: Sequence[str], logs: Sequence[Path]) -> Pass:
    """Run a program over all logs."""
    started = time.perf_counter()
    done = subprocess.run(
        [*command, *map(str, logs)], capture_output=True, check=True, timeout=60 + 2 * LIMIT * len(logs)
    )
    whole = time.perf_counter() - started
    answer: dict[str, Any] = json.loads(done.stdout)
    verdicts = {log["name"]: log["verdict"] for log in answer["logs"]}
    return Pass(verdicts, {log["name"]: log["seconds"] for log in answer["logs"]}, whole, answer["megabytes"])


def built(folder: Path) -> Path | None:
    """Build porcupine's program; None, and one line that says why, if it cannot be."""
    if shutil.which("go") is None:
        print("porcupine is not measured: there is no go on PATH")
        return None
    program = folder / "porcupine"
    command = ["go", "build", "-o", str(program), "."]
    try:
        subprocess.run(command, cwd=PORCUPINE, capture_output=True, check=True, timeout=BUILDING, text=True)
    except subprocess.TimeoutExpired:
        print(f"porcupine is not measured: go build took over {BUILDING:.0f} s")
        return None
    except subprocess.CalledProcessError as error:
        print(f"porcupine is not measured: go build: {(error.stderr.strip().splitlines() or ['failed'])[-1]}")
        return None
    return program


def compare(title: str, logs: dict[Path, bool], programs: dict[str, list[str]], rounds: int) -> None:
    """Print the figures of all programs on logs, each with whether it has a legal order."""
    passes: dict[str, list[Pass]] = {name: [] for name in programs}
    for _ in range(rounds):
        for name, command in programs.items():
            passes[name].append(run(command, list(logs)))
    print(f"\n{title}")
    print(f"{'':12}{'right':>10}{'undecided':>11}{'checking s':>12}{'with start s':>14}{'MB':>7}   slowest")
    for name, made in passes.items():
        print(f"{name:12}{row(made, logs)}")
    if len(passes) > 1:
        ours, theirs = (median(p.checking for p in made) for made in passes.values())
        whole, their_whole = (median(p.whole for p in made) for made in passes.values())
        print(f"ours / porcupine: checking {ours / theirs:.2f}x, with start {whole / their_whole:.2f}x")


def row(passes: Sequence[Pass], logs: dict[Path, bool]) -> str:
    """Return the cells of one program."""
    first = passes[0]
    expected = {path.name: str(Verdict.PASS if legal else Verdict.FAIL) for path, legal in logs.items()}
    right = sum(first.verdicts[name] == verdict for name, verdict in expected.items())
    undecided = sum(verdict == "inconclusive" for verdict in first.verdicts.values())
    typical = {name: median(p.seconds[name] for p in passes) for name in expected}
    slowest = max(typical, key=lambda name: typical[name])
    return (
        f"{f'{right}/{len(expected)}':>10}{undecided:>11}{median(p.checking for p in passes):>12.4f}"
        f"{median(p.whole for p in passes):>14.3f}{max(p.megabytes for p in passes):>7.0f}"
        f"   {slowest} {typical[slowest] * 1000:.1f} ms"
    )


def published_logs(folder: Path | None) -> dict[Path, bool]:
    """Return the logs of etcd, each with whether it is linearizable; none, and one line that says so, without them."""
    places = [folder / "etcd", folder] if folder else []
    found = next((place for place in places if (place / "expected.csv").is_file()), None)
    if found is None:
        print("the logs of etcd are not measured: name their folder, or set LAB_HISTORIES")
        return {}
    rows = (line.split(",") for line in (found / "expected.csv").read_text(encoding="utf-8").split())
    return {found / name: verdict == "true" for name, verdict in rows}


def write_log(path: Path, clients: int, operations: int, unknown: float, *, legal: bool) -> None:
    """Write the log of a register under load, each operation atomic at a moment within its interval, from a seed.

    Illegal: a read near the end finds a value that nobody wrote.
    """
    lines = [f"INFO  jepsen.util - {line}\n" for line in _events(Random(1), clients, operations, unknown, legal=legal)]
    path.write_text("".join(lines), encoding="utf-8")


def _events(random: Random, clients: int, operations: int, unknown: float, *, legal: bool) -> Iterator[str]:
    state, names = "nil", list(range(clients))
    doing: dict[int, tuple[str, str, str | None]] = {}
    fresh, left, spoiled = clients, operations, legal
    while left or doing:
        at = random.randrange(clients)
        process = names[at]
        if process not in doing:
            if left:
                left -= 1
                doing[process] = (*_asked(random), None)
                yield f"{process}\t:invoke\t{doing[process][0]}\t{doing[process][1]}"
            continue
        kind, value, answer = doing[process]
        if answer is None:
            answer, state = _done(kind, value, state)
            if not spoiled and kind == ":read" and left < operations // 10:
                answer, spoiled = ":ok\t:read\t99", True
            doing[process] = kind, value, answer
            continue
        del doing[process]
        if kind != ":read" and random.random() < unknown:
            names[at], fresh = (
                fresh,
                fresh + 1,
            )  # as in Jepsen: nobody waits for it
            yield f"{process}\t:info\t{kind}\t:timed-out"
        else:
            yield f"{process}\t{answer}"


def _asked(random: Random) -> tuple[str, str]:
    kind = random.choice([":read", ":write", ":cas"])
    new = str(random.randrange(5))
    return kind, {":read": "nil", ":write": new, ":cas": f"[{random.randrange(5)} {new}]"}[kind]


def _done(kind: str, value: str, state: str) -> tuple[str, str]:
    """Return the answer's line and the state after an operation takes effect."""
    if kind == ":read":
        return f":ok\t:read\t{state}", state
    if kind == ":write":
        return f":ok\t:write\t{value}", value
    old, new = value.strip("[]").split()
    return (f":ok\t:cas\t{value}", new) if old == state else (f":fail\t:cas\t{value}", state)


def main(arguments: Sequence[str] = ()) -> int:
    """Measure; the first argument names the folder of published histories."""
    if arguments[:1] == ("--ours",):
        return check_ours(arguments[1:])
    logs = published_logs(Path(arguments[0]) if arguments else folder_of_histories())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        programs = {"ours": [sys.executable, "-m", "benchmarks.linearizable", "--ours"]}
        porcupine = built(folder)
        if porcupine:
            programs["porcupine"] = [str(porcupine), str(LIMIT)]
        if logs:
            compare(f"{len(logs)} logs of etcd", logs, programs, ROUNDS)
        for title, clients, operations, unknown, legal in MADE:
            path = folder / "made.log"
            write_log(path, clients, operations, unknown, legal=legal)
            compare(f"{title}: {operations:,} operations", {path: legal}, programs, 1)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(tuple(sys.argv[1:])))
