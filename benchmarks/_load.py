"""The load for `benchmarks.proxy`: a far end in a process of its own, and what is measured through a path to it.

Both sides use blocking sockets: the fastest that Python has. Every wait on one is bounded by the kernel (SO_RCVTIMEO),
because a time-out of Python's would cost a poll for each call.
"""

from __future__ import annotations

import contextlib
import socket
import statistics
import struct
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil

MESSAGE = bytes(64)
TRIPS = 250
"""Round trips of 64 bytes in one burst; the paths take turns, so that a noisy moment hits all of them."""

BURSTS = 8
"""Of each path, in one round."""

BULK = 128 * 1024 * 1024
"""Bytes per round, in writes of 64 KiB."""

CONNECTS = 160
"""Per round, one by one, and as many again AT_ONCE: connect, one byte there and back, close."""

AT_ONCE = 32

IDLE = 1_000
"""Connections that are open and say nothing."""

SLOW_SECONDS = 1.0
"""How long a server floods a client that does not read."""

WAIT = 10.0
"""Seconds that a socket waits before the benchmark is given up."""

MEBIBYTE = 1024 * 1024
HEADER = struct.Struct("!cQ")
ECHO, SINK, FLOOD = b"e", b"s", b"f"


@dataclass
class Path:
    """A way to the far end: its *address*, and the *process* in between (None: no process).

    *figures* holds the values of each; *carried* counts bytes, and *used* the processor seconds that they took.
    """

    name: str
    address: tuple[str, int]
    process: psutil.Process | None = None
    figures: dict[str, list[float]] = field(default_factory=dict)
    carried: int = 0
    used: float = 0.0

    def note(self, figure: str, value: float) -> None:
        """Keep the value of one round."""
        self.figures.setdefault(figure, []).append(value)

    def processor_seconds(self) -> float:
        """Return what the process has used so far."""
        assert self.process is not None
        times = self.process.cpu_times()
        return float(times.user + times.system)

    def memory(self) -> int:
        """Return the resident bytes of the process."""
        assert self.process is not None
        return int(self.process.memory_info().rss)


# --- the far end -------------------------------------------------------------------------------------------------


def far_end() -> None:
    """Serve until stdin closes; the port goes to stdout. A connection's first bytes say what to do with the rest."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        # Started before anybody is in a hurry: to start one for each connection is what would be measured.
        for _ in range(IDLE + 2 * AT_ONCE):
            threading.Thread(target=_serve_on, args=(listener,), daemon=True).start()
        print(listener.getsockname()[1], flush=True)
        sys.stdin.read()  # ends with the benchmark, however that ends


def _serve_on(listener: socket.socket) -> None:
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with sock, contextlib.suppress(OSError, struct.error):
            _serve(sock)


def _serve(sock: socket.socket) -> None:
    mode, size = HEADER.unpack(sock.recv(HEADER.size, socket.MSG_WAITALL))
    if mode == ECHO:
        while data := sock.recv(65536):
            sock.sendall(data)
    elif mode == SINK:
        buffer = bytearray(MEBIBYTE)
        while size > 0 and (received := sock.recv_into(buffer)):
            size -= received
        sock.sendall(b"k")
    else:
        while True:
            sock.sendall(bytes(65536))


# --- what is measured --------------------------------------------------------------------------------------------


def connect(path: Path, mode: bytes = ECHO, size: int = 0, first: bytes = b"") -> socket.socket:
    """Return a connection whose first bytes are *first*."""
    sock = socket.socket()
    seconds, fraction = divmod(WAIT, 1)
    for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
        sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("@ll", int(seconds), int(fraction * 1e6)))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.connect(path.address)
    sock.sendall(HEADER.pack(mode, size) + first)
    return sock


def _answered(sock: socket.socket) -> socket.socket:
    assert sock.recv(1) == b"x"
    return sock


def round_trips(paths: list[Path]) -> None:
    """Note the microseconds of an echo of 64 bytes."""
    times: dict[str, list[float]] = {path.name: [] for path in paths}
    with contextlib.ExitStack() as stack:
        socks = [(path, stack.enter_context(connect(path))) for path in paths]
        for _ in range(BURSTS):
            for path, sock in socks:
                times[path.name] += _burst(sock)
    for path in paths:
        cuts = statistics.quantiles(times[path.name], n=1000)
        for figure, cut in (("echo p50, us", 499), ("echo p99, us", 989), ("echo p99.9, us", 998)):
            path.note(figure, cuts[cut])


def _burst(sock: socket.socket) -> Iterator[float]:
    for number in range(TRIPS + 5):
        start = time.perf_counter()
        sock.sendall(MESSAGE)
        received = sock.recv(64)
        seconds = time.perf_counter() - start
        assert len(received) == 64
        if number >= 5:  # the first ones wake what has slept while others had their turn
            yield seconds * 1e6


def throughput(path: Path) -> None:
    """Note megabytes per second in one direction; add to what the process between has carried and used."""
    block = bytes(65536)
    before = path.processor_seconds() if path.process else 0.0
    with connect(path, SINK, BULK) as sock:
        start = time.perf_counter()
        for _ in range(BULK // len(block)):
            sock.sendall(block)
        assert sock.recv(1) == b"k"
        path.note("throughput, MB/s", BULK / 1e6 / (time.perf_counter() - start))
    if path.process is not None:
        path.carried += BULK
        path.used += path.processor_seconds() - before  # in ticks of 10 ms: only the sum over all rounds is precise


def processor(path: Path) -> None:
    """Note the processor seconds per gigabyte of all that was carried."""
    if path.carried:
        path.note("processor, s/GB", path.used / (path.carried / 1e9))


def connects(path: Path) -> None:
    """Note how many connections a second can be opened, used once and closed: one by one, and AT_ONCE."""
    start = time.perf_counter()
    for _ in range(CONNECTS):
        _answered(connect(path, first=b"x")).close()
    path.note("connects, 1/s", CONNECTS / (time.perf_counter() - start))
    start = time.perf_counter()
    for _ in range(CONNECTS // AT_ONCE):
        for sock in [connect(path, first=b"x") for _ in range(AT_ONCE)]:
            _answered(sock).close()
    path.note(f"connects, {AT_ONCE} at once, 1/s", CONNECTS / (time.perf_counter() - start))


def idle(path: Path) -> None:
    """Note the memory of the process between, with connections that say nothing."""
    if path.process is None:
        return
    before = path.memory()
    with contextlib.ExitStack() as stack:
        for _ in range(IDLE):
            stack.enter_context(_answered(connect(path, first=b"x")))
        path.note(f"memory, {IDLE:,} idle, MiB", path.memory() / MEBIBYTE)
        path.note("memory, each idle, KiB", (path.memory() - before) / 1024 / IDLE)


def slow_reader(path: Path) -> None:
    """Note by how much the process between grows while a server floods a client that does not read."""
    if path.process is None:
        return
    before = path.memory()
    with connect(path, FLOOD):
        time.sleep(SLOW_SECONDS)
        path.note("growth, slow reader, MiB", (path.memory() - before) / MEBIBYTE)


if __name__ == "__main__":
    far_end()
