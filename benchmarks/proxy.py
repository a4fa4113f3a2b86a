"""What the proxy costs, side by side in one run: a direct connection, ours, a real Toxiproxy, and the floor of Python.

The floor is a bare forwarder (benchmarks/_floor.py). Toxiproxy is $TOXIPROXY_SERVER or toxiproxy-server on PATH, and is
left out where there is none. Rounds are interleaved. Neighbours on a machine can only make a figure worse, so it is the
better quartile of the rounds; "paired" is the median of the ratios within each round, to show how steady that is.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator

import psutil

from benchmarks import _load
from benchmarks._load import Path

ROUNDS = 16
"""Fewer on a slow machine: none begins once AT_MOST seconds are over."""

AT_MOST = 60.0
START_WITHIN = 20.0
"""Seconds for one process to start."""

FILES = 2 * _load.IDLE + 500
"""Files that one process opens at once."""

AIMS: dict[str, tuple[str, float]] = {
    "added p50, us": ("at most", 0.5),
    "added p99, us": ("at most", 0.8),
    "throughput, MB/s": ("at least", 1.2),
    "connects, 1/s": ("at least", 1.0),
    f"connects, {_load.AT_ONCE} at once, 1/s": ("at least", 1.0),
}
"""What ours is to be, as a multiple of Toxiproxy's figure."""


# --- the paths ---------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def paths(binary: str | None) -> Iterator[list[Path]]:
    """Start everything; yield the paths, the direct one first, then ours."""
    with contextlib.ExitStack() as stack:
        far_end = _start(stack, [sys.executable, "-m", "benchmarks._load"])
        upstream = ("127.0.0.1", int(_first_line(far_end)))
        found = [Path("direct", upstream), _ours(stack, upstream)]
        if binary is not None:
            found.append(_toxiproxy(stack, binary, upstream))
        floor = _start(stack, [sys.executable, "-m", "benchmarks._floor", *map(str, upstream)])
        found.append(Path("floor", ("127.0.0.1", int(_first_line(floor))), psutil.Process(floor.pid)))
        yield found


def _ours(stack: contextlib.ExitStack, upstream: tuple[str, int]) -> Path:
    process = _start(stack, [sys.executable, "-m", "faults", "--port", "0", "--until-stdin-closes"])
    url = _first_line(process).split(": ", 1)[1].strip()
    return Path("ours", _proxied(url, upstream), psutil.Process(process.pid))


def _toxiproxy(stack: contextlib.ExitStack, binary: str, upstream: tuple[str, int]) -> Path:
    port = _free_port()
    process = _start(stack, [binary, "-host", "127.0.0.1", "-port", str(port)], quiet=True)
    url = f"http://127.0.0.1:{port}"
    _wait_for(f"{url}/version")
    return Path("Toxiproxy", _proxied(url, upstream), psutil.Process(process.pid))


def _start(stack: contextlib.ExitStack, command: list[str], *, quiet: bool = False) -> subprocess.Popen[str]:
    stdout = subprocess.DEVNULL if quiet else subprocess.PIPE
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL, text=True)
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_WITHIN)
    line = process.stdout.readline() if ready else ""
    assert line, f"{process.args!r} did not start within {START_WITHIN:g} s"
    return line


def _proxied(url: str, upstream: tuple[str, int]) -> tuple[str, int]:
    body = {"name": "p", "listen": "127.0.0.1:0", "upstream": f"{upstream[0]}:{upstream[1]}"}
    request = urllib.request.Request(f"{url}/proxies", json.dumps(body).encode())  # noqa: S310 - our own address
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310
        host, port = json.load(answer)["listen"].rsplit(":", 1)
    return host, int(port)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + START_WITHIN
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 - our own address
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.05)


# --- rounds ------------------------------------------------------------------------------------------------------

EACH: tuple[Callable[[Path], None], ...] = (_load.throughput, _load.connects)


def measure(found: list[Path]) -> int:
    """Measure all paths, interleaved; return the number of rounds."""
    deadline = time.monotonic() + AT_MOST
    for path in found:
        _load.connects(path)  # to warm up
        path.figures.clear()
    for path in found:
        _load.idle(path)  # before anything that leaves memory behind
    rounds = 0
    while rounds < ROUNDS and time.monotonic() < deadline:
        one_round(found, turn=rounds)
        rounds += 1
    for path in found:
        _load.processor(path)
        _load.slow_reader(path)
    return rounds


def one_round(found: list[Path], *, turn: int) -> None:
    """Measure everything once; who comes first changes from turn to turn."""
    order = [*found[turn % len(found) :], *found[: turn % len(found)]]
    _load.round_trips(order)
    for measurement in EACH:
        for path in order:
            measurement(path)


# --- what is said ------------------------------------------------------------------------------------------------


class Figures:
    """What was measured, as one figure for each path; "added" is what a path's echo takes beyond the direct one."""

    def __init__(self, found: list[Path]) -> None:
        self._paths = {path.name: path for path in found}
        measured = sorted({figure for path in found for figure in path.figures}, key=_place)
        echoes = sum(figure.startswith("echo") for figure in measured)
        added = [figure for figure in AIMS if figure.startswith("added")]
        self.names = [*measured[:echoes], *added, *measured[echoes:]]

    def value(self, path: str, figure: str) -> float | None:
        """Return the better quartile of the rounds; None if there is no such figure."""
        if figure.startswith("added"):
            echo = figure.replace("added", "echo")
            through, direct = self.value(path, echo), self.value("direct", echo)
            return None if path == "direct" or through is None or direct is None else through - direct
        values = self._rounds(path, figure)
        if len(values) < 2:
            return values[0] if values else None
        return statistics.quantiles(values, n=4)[2 if figure.endswith("/s") else 0]

    def ratio(self, figure: str, other: str) -> float | None:
        """Return ours as a multiple of the *other* path's."""
        mine, its = self.value("ours", figure), self.value(other, figure)
        return mine / its if mine is not None and its is not None and its > 0 else None

    def paired(self, figure: str, other: str) -> float | None:
        """Return the median of that over the rounds."""
        pairs = zip(self._rounds("ours", figure), self._rounds(other, figure), strict=False)
        ratios = [mine / its for mine, its in pairs if its > 0]
        return statistics.median(ratios) if ratios else None

    def _rounds(self, path: str, figure: str) -> list[float]:
        if path not in self._paths:
            return []
        if figure.startswith("added"):
            echo = figure.replace("added", "echo")
            pairs = zip(self._rounds(path, echo), self._rounds("direct", echo), strict=True)
            return [through - direct for through, direct in pairs]
        return self._paths[path].figures.get(figure, [])


def table(found: list[Path]) -> Iterator[str]:
    """Yield the lines of the table: a figure a line, with ours as a multiple of the others' figures, and the aim."""
    figures = Figures(found)
    yield f"{'':27}" + "".join(f"{path.name:>10}" for path in found) + "  ours/Toxiproxy (paired)  ours/floor  aim"
    for figure in figures.names:
        cells = "".join(f"{_number(figures.value(path.name, figure)):>10}" for path in found)
        ratio = figures.ratio(figure, "Toxiproxy")
        paired = f"({_times(figures.paired(figure, 'Toxiproxy'))})"
        cells += f"{_times(ratio):>16}{paired:>9}{_times(figures.ratio(figure, 'floor')):>12}"
        yield f"{figure:27}{cells}  {_verdict(figure, ratio)}".rstrip()


ORDER = ("echo", "throughput", "processor", "connects", "memory", "growth")


def _place(figure: str) -> tuple[int, str]:
    return ORDER.index(figure.partition(" ")[0].rstrip(",")), figure


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}x"


def _verdict(figure: str, ratio: float | None) -> str:
    if figure not in AIMS:
        return ""
    word, bound = AIMS[figure]
    if ratio is None:
        return f"{word} {bound}x"
    met = ratio <= bound if word == "at most" else ratio >= bound
    return f"{word} {bound}x: {'met' if met else 'MISSED'}"


def main() -> int:
    """Print the table."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < FILES:
        print(f"{_load.IDLE} idle connections need {FILES} open files, and this system allows {most}: see ulimit -Hn")
        return 4
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES if most == resource.RLIM_INFINITY else most, most))
    wanted = os.environ.get("TOXIPROXY_SERVER", "toxiproxy-server")
    binary = shutil.which(wanted)
    began = time.monotonic()
    with paths(binary) as found:
        rounds = measure(found)
    print("\n".join(table(found)))
    print(f"{rounds} rounds in {time.monotonic() - began:.0f} s")
    if binary is None:
        print(f"not compared with Toxiproxy: no {wanted} (on PATH, or named by TOXIPROXY_SERVER)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
