"""How fast histories are read: ours and Jepsen's EDN, each beside a bare baseline on the same bytes.

The baseline of a journal is msgspec that decodes each line to what JSON has, and makes nothing of it; that of EDN is a
tokenizer of one regular expression that makes nothing of what it finds, and `lab.formats.edn` alone, without the fast
way. They take turns on the same file; the best CPU time of each counts: machines have other things to do.
"""

from __future__ import annotations

import re
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random

import msgspec

from lab.formats import Format, read_operations
from lab.formats.edn import Forms
from lab.history import Json, Outcome
from lab.journal import Completed, Invoked, JournalWriter, Run

OPERATIONS = 1_000_000
SAMPLE = 50_000
"""Operations of the small file that the slow ways read."""

ROUNDS = 3
PROCESSES = 20
KEYS = 100
LONGEST = 8
"""Elements of a list that was read, at most."""

TOKEN = re.compile(rb'[\s,]+|[\[\](){}]|"(?:[^"\\]|\\.)*"|[^\s,\[\](){}"]+')


def transactions(count: int) -> Iterator[tuple[int, list[Json], list[Json]]]:
    """Yield process, value and result of list-append transactions of one to four steps, as Jepsen has them."""
    random = Random(1)
    for number in range(count):
        asked: list[Json] = []
        answered: list[Json] = []
        for _ in range(random.randint(1, 4)):
            key = random.randrange(KEYS)
            if random.random() < 0.5:
                asked.append(["append", key, number])
                answered.append(["append", key, number])
            else:
                asked.append(["r", key, None])
                answered.append(["r", key, list(range(number, number + random.randint(0, LONGEST)))])
        yield number % PROCESSES, asked, answered


def write_edn(path: Path, count: int) -> None:
    """Write a history as Jepsen does."""
    line = "{{:type :{}, :f :txn, :value {}, :process {}, :time {}, :index {}}}\n"
    with path.open("w", encoding="utf-8") as file:
        for number, (process, asked, answered) in enumerate(transactions(count)):
            file.write(line.format("invoke", edn(asked), process, number * 9_000, number * 2))
            file.write(line.format("ok", edn(answered), process, number * 9_000 + 5_000, number * 2 + 1))


def edn(value: Json) -> str:
    """Return a value as EDN; strings are keywords."""
    if isinstance(value, list):
        return f"[{' '.join(map(edn, value))}]"
    return "nil" if value is None else f":{value}" if isinstance(value, str) else str(value)


def write_journal(path: Path, count: int) -> None:
    """Write the same as a journal."""
    with JournalWriter(path) as journal:
        journal.write(Run("bench", "none", 1, "none", "2026-01-01T00:00:00Z", {"steps": []}, {}))
        for number, (process, asked, answered) in enumerate(transactions(count)):
            at = number * 9e-6
            journal.write(Invoked(number, process, "txn", asked, at, f"u{number}"))
            journal.write(Completed(number, Outcome.OK, at + 5e-6, answered, 1))


def bare_json(path: Path) -> Iterator[object]:
    """Decode each line, and nothing else."""
    decode = msgspec.json.Decoder().decode
    with path.open("rb") as file:
        yield from map(decode, file)


def bare_tokens(path: Path) -> Iterator[object]:
    """Find the tokens of each line, and nothing else."""
    with path.open("rb") as file:
        yield from map(TOKEN.findall, file)


def complete(path: Path) -> Iterator[object]:
    """Read EDN without the fast way."""
    forms = Forms()
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield from forms.feed(line)


def seconds(way: Callable[[Path], Iterable[object]], path: Path) -> float:
    """Return the CPU time that a way takes to go through a file."""
    started = time.process_time()
    deque(way(path), maxlen=0)
    return time.process_time() - started


def compare(path: Path, count: int, ways: dict[str, Callable[[Path], Iterable[object]]]) -> None:
    """Print what each way takes, and its ratio to the first."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(ROUNDS):
        for name, way in ways.items():
            best[name] = min(best[name], seconds(way, path))
    megabytes = path.stat().st_size / 1e6
    first = next(iter(best.values()))
    print(f"{count:,} operations, {megabytes:.0f} MB")
    for name, taken in best.items():
        rate = f"{taken:8.2f} s {megabytes / taken:8.1f} MB/s {count / taken / 1e3:8.0f} k operations/s"
        print(f"  {name:34}{rate} {taken / first:8.2f}x")


def main() -> int:
    """Measure; the first argument says how many operations."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else OPERATIONS
    with tempfile.TemporaryDirectory() as folder:
        journal, history, sample = (Path(folder) / name for name in ("journal.jsonl", "history.edn", "sample.edn"))
        write_journal(journal, count)
        compare(journal, count, {"journal": read_operations, "msgspec, a line at a time": bare_json})
        write_edn(history, count)
        compare(history, count, {"EDN": read_operations, "one regular expression": bare_tokens})
        write_edn(sample, SAMPLE)
        compare(
            sample,
            SAMPLE,
            {"EDN": lambda path: read_operations(path, format=Format.EDN), "without the fast way": complete},
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
