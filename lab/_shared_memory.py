"""Give back the kernel memory of a PostgreSQL server that was killed before it could do so itself."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

IPC_RMID = 0
SHM_RDONLY = 0o10000
POSTGRES_MAGIC = 679834894
# PGShmemHeader begins with: magic, the creator's pid, total size, free offset, handle of the DSM control segment
HEADER = struct.Struct("iiNNI")
FAILED = ctypes.c_void_p(-1).value


@dataclass(frozen=True, slots=True)
class Segment:
    """What postmaster.pid says about a server: its *pid* and the *key* and *id* of its System V segment."""

    pid: int
    key: int
    id: int


def recorded_segment(data: Path) -> Segment | None:
    """Return the segment that the data folder's postmaster.pid names; None without such a file or line."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="ascii", errors="replace").splitlines()
        key, identity = lines[6].split()
        return Segment(abs(int(lines[0])), int(key), int(identity))
    except (OSError, ValueError, IndexError):
        return None


def release_shared_memory(data: Path) -> bool:
    """Remove the shared memory that a killed server of the folder *data* left behind; False if there is none.

    Call it when no process of that server lives. A segment goes only if its id still has the recorded key, if its
    header names the recorded pid, and if nobody is attached: ids are used again by the kernel.
    """
    segment = recorded_segment(data)
    if segment is None or _attached(segment.id):
        return False
    libc = _libc()
    if libc.shmget(segment.key, 0, 0) != segment.id:
        return False
    header = _header(segment.id)
    if header is None or header[:2] != (POSTGRES_MAGIC, segment.pid):
        return False
    if header[4]:
        _unlink_posix(f"/PostgreSQL.{header[4]}")
    return bool(libc.shmctl(segment.id, IPC_RMID, None) == 0)


def _header(identity: int) -> tuple[int, ...] | None:
    with _mapped(identity) as address:
        return HEADER.unpack(ctypes.string_at(address, HEADER.size)) if address else None


@contextmanager
def _mapped(identity: int) -> Iterator[int | None]:
    libc = _libc()
    address = libc.shmat(identity, None, SHM_RDONLY)
    if address is None or address == FAILED:
        yield None
        return
    try:
        yield int(address)
    finally:
        libc.shmdt(ctypes.c_void_p(address))


def _attached(identity: int) -> bool:
    try:
        rows = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return False  # not Linux: the header's check has to do
    return any(int(row.split()[1]) == identity and int(row.split()[6]) > 0 for row in rows)


def _unlink_posix(name: str) -> None:
    unlink = getattr(_libc(), "shm_unlink", None)  # glibc before 2.34 keeps it in librt
    if unlink is None:
        unlink = ctypes.CDLL("librt.so.1").shm_unlink
    unlink(name.encode("ascii"))


@functools.cache
def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None, use_errno=True)
    libc.shmget.argtypes = (ctypes.c_int, ctypes.c_size_t, ctypes.c_int)
    libc.shmat.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    libc.shmat.restype = ctypes.c_void_p
    libc.shmdt.argtypes = (ctypes.c_void_p,)
    libc.shmctl.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_void_p)
    return libc
