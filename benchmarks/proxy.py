"""What the proxy costs: a direct connection, ours and (where there is one) a real Toxiproxy, side by side in one run.

Rounds are interleaved and medians taken, because the machine is busy with other things too. The far end is a process of
its own, with a blocking socket in a thread for each connection: the fastest that Python has.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psutil

ROUNDS = 8
ROUND_TRIPS = 1_500
"""Per round, of 64 bytes."""

BULK = 128 * 1024 * 1024
"""Bytes per round, in writes of 64 KiB."""

CONNECTS = 150
"""Per round: connect, one byte there and back, close."""

IDLE = 200
"""Connections that are open and say nothing."""

SLOW_SECONDS = 1.0
"""How long a server floods a client that does not read."""

MEGABYTE = 1024 * 1024
HEADER = struct.Struct("!cQ")
ECHO, SINK, FLOOD = b"e", b"s", b"f"


# --- the far end -------------------------------------------------------------------------------------------------


def far_end() -> None:
    """Serve for ever: the first bytes of a connection say what to do with the rest."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            sock, _ = listener.accept()
            threading.Thread(target=_serve, args=(sock,), daemon=True).start()


def _serve(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    with sock, contextlib.suppress(OSError, struct.error):
        mode, size = HEADER.unpack(_exactly(sock, HEADER.size))
        if mode == ECHO:
            while data := sock.recv(65536):
                sock.sendall(data)
        elif mode == SINK:
            buffer = bytearray(MEGABYTE)
            while size > 0 and (received := sock.recv_into(buffer)):
                size -= received
            sock.sendall(b"k")
        else:
            while True:
                sock.sendall(bytes(65536))


def _exactly(sock: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size and (data := sock.recv(size - len(received))):
        received += data
    return received


# --- the paths to it ---------------------------------------------------------------------------------------------


@dataclass
class Path:
    """A way to the far end: its address, and the process in between (None: no process)."""

    name: str
    address: tuple[str, int]
    process: psutil.Process | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)

    def note(self, figure: str, value: float) -> None:
        """Keep the value of one round."""
        self.figures.setdefault(figure, []).append(value)

    def median(self, figure: str) -> float | None:
        """Return the median over the rounds."""
        values = self.figures.get(figure)
        return statistics.median(values) if values else None


@contextlib.contextmanager
def paths() -> Iterator[list[Path]]:
    """Start everything; yield the paths, the direct one first."""
    with contextlib.ExitStack() as stack:
        end = stack.enter_context(_process([sys.executable, "-m", "benchmarks.proxy", "far-end"]))
        assert end.stdout is not None
        upstream = ("127.0.0.1", int(end.stdout.readline()))
        ours = stack.enter_context(_process([sys.executable, "-m", "faults", "--port", "0", "--until-stdin-closes"]))
        assert ours.stdout is not None
        url = ours.stdout.readline().split(": ", 1)[1].strip()
        found = [Path("direct", upstream), Path("ours", _proxied(url, upstream), psutil.Process(ours.pid))]
        binary = shutil.which(os.environ.get("TOXIPROXY_SERVER", "toxiproxy-server"))
        if binary is not None:
            port = _free_port()
            real = stack.enter_context(_process([binary, "-host", "127.0.0.1", "-port", str(port)], quiet=True))
            _wait_for(port)
            address = _proxied(f"http://127.0.0.1:{port}", upstream)
            found.append(Path("Toxiproxy", address, psutil.Process(real.pid)))
        yield found


@contextlib.contextmanager
def _process(command: list[str], *, quiet: bool = False) -> Iterator[subprocess.Popen[str]]:
    stdout = subprocess.DEVNULL if quiet else subprocess.PIPE
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=stdout, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.terminate()


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


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


def _connect(path: Path, mode: bytes, size: int = 0) -> socket.socket:
    sock = socket.create_connection(path.address, 30)
    sock.settimeout(None)  # a time-out would cost a poll for each call
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HEADER.pack(mode, size))
    return sock


# --- what is measured --------------------------------------------------------------------------------------------


def round_trips(path: Path) -> None:
    """Note the microseconds of an echo of 64 bytes."""
    message, times = bytes(64), []
    with _connect(path, ECHO) as sock:
        for _ in range(ROUND_TRIPS):
            start = time.perf_counter()
            sock.sendall(message)
            sock.recv(64)
            times.append((time.perf_counter() - start) * 1e6)
    cuts = statistics.quantiles(times[100:], n=1000)
    for figure, cut in (("echo p50, us", 499), ("echo p99, us", 989), ("echo p99.9, us", 998)):
        path.note(figure, cuts[cut])


def throughput(path: Path) -> None:
    """Note megabytes per second in one direction, and the processor seconds per gigabyte of the process between."""
    block = bytes(65536)
    before = _processor_seconds(path)
    with _connect(path, SINK, BULK) as sock:
        start = time.perf_counter()
        for _ in range(BULK // len(block)):
            sock.sendall(block)
        assert sock.recv(1) == b"k"
        path.note("throughput, MB/s", BULK / 1e6 / (time.perf_counter() - start))
    if path.process is not None:
        path.note("processor, s/GB", (_processor_seconds(path) - before) / (BULK / 1e9))


def connects(path: Path) -> None:
    """Note how many connections a second can be opened, used once and closed."""
    start = time.perf_counter()
    for _ in range(CONNECTS):
        with _connect(path, ECHO) as sock:
            sock.sendall(b"x")
            sock.recv(1)
    path.note("connects, 1/s", CONNECTS / (time.perf_counter() - start))


def idle(path: Path) -> None:
    """Note the memory of the process between, with connections that say nothing."""
    if path.process is None:
        return
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            sock = stack.enter_context(_connect(path, ECHO))
            sock.sendall(b"x")
            sock.recv(1)
        path.note(f"memory, {IDLE} idle, MB", path.process.memory_info().rss / MEGABYTE)


def slow_reader(path: Path) -> None:
    """Note by how much the process between grows while a server floods a client that does not read."""
    if path.process is None:
        return
    before = path.process.memory_info().rss
    with _connect(path, FLOOD):
        time.sleep(SLOW_SECONDS)
        path.note("growth, slow reader, MB", (path.process.memory_info().rss - before) / MEGABYTE)


def _processor_seconds(path: Path) -> float:
    if path.process is None:
        return 0.0
    times = path.process.cpu_times()
    return float(times.user + times.system)


EVERY_ROUND: tuple[Callable[[Path], None], ...] = (round_trips, throughput, connects)
ONCE: tuple[Callable[[Path], None], ...] = (idle, slow_reader)


def measure(found: list[Path]) -> None:
    """Measure all paths, interleaved."""
    for path in found:
        round_trips(path)  # to warm up
        path.figures.clear()
    for _ in range(ROUNDS):
        for measurement in EVERY_ROUND:
            for path in found:
                measurement(path)
    for measurement in ONCE:
        for path in found:
            measurement(path)


# --- what is said ------------------------------------------------------------------------------------------------


def table(found: list[Path]) -> list[str]:
    """Return the lines of the table: a figure a line, each path's median and its ratio to direct (or to ours)."""
    figures = list(dict.fromkeys(figure for path in found for figure in path.figures))
    lines = [f"{'':26}" + "".join(f"{path.name:>20}" for path in found)]
    for figure in figures:
        base = found[0].median(figure) or found[1].median(figure)
        lines.append(f"{figure:26}" + "".join(_cell(path.median(figure), base) for path in found))
    return [*lines, *(_quietest(found, figure) for figure in ("echo p50, us", "echo p99, us"))]


def _quietest(found: list[Path], figure: str) -> str:
    # Neighbours on the machine can only add to a time, so the least of the rounds says what the path itself costs.
    direct = min(found[0].figures[figure])
    others = (f"{path.name} adds {min(path.figures[figure]) - direct:.1f}" for path in found[1:])
    return f"{figure}, in the quietest round: direct {direct:.1f}, {', '.join(others)}"


def _cell(value: float | None, base: float | None) -> str:
    if value is None or base is None:
        return f"{'-':>20}"
    ratio = f" ({value / base:.2f}x)" if base > 0 else ""
    return f"{value:.1f}{ratio}".rjust(20)


def main() -> int:
    """Print the table."""
    if sys.argv[1:] == ["far-end"]:
        far_end()
    with paths() as found:
        measure(found)
    print("\n".join(table(found)))
    if len(found) < 3:
        print("no toxiproxy-server on PATH, and $TOXIPROXY_SERVER names none: not compared")
    return 0


if __name__ == "__main__":
    sys.exit(main())
