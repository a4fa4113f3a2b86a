"""What a throw-away PostgreSQL is told and what it says: settings, password, state file, log."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from pathlib import Path

from lab.errors import EnvironmentProblem

LOG_READ = 65_536
ADDRESS_IN_USE = "Address already in use"
REMEDIES = {
    "No space left on device": "free space, or set LAB_STATE_DIR to another disk",
    "Disk quota exceeded": "free space, or set LAB_STATE_DIR to another disk",
    "Permission denied": "set LAB_STATE_DIR to a folder that the server's account (nobody, if you are root) can reach",
    "could not create shared memory": "raise the kernel's limits (kernel.shmmni, kernel.shmall) or stop other servers",
    "could not create semaphores": "raise the kernel's limit kernel.sem or stop other servers",
    ADDRESS_IN_USE: "end the process that took the port",
}


def settings(version: tuple[int, ...], name: str) -> str:
    """Return the lines for postgresql.conf of a server called *name* (at most 63 characters) in its process titles."""
    values: dict[str, str | int] = {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "cluster_name": name[:63],
        "max_connections": 200,
        "default_transaction_isolation": "serializable",
        # The data is thrown away if the machine goes down. A killed server loses no acknowledged commit all the same,
        # because synchronous_commit has handed the log to the kernel before the client hears of it.
        "fsync": "off",
        "full_page_writes": "off",
        "synchronous_commit": "on",
        "dynamic_shared_memory_type": "mmap",
        "shared_buffers": "32MB",
        "huge_pages": "off",
        "jit": "off",
        # Transfers in opposite directions deadlock; a second of waiting for each, the default, would hide all else.
        "deadlock_timeout": "50ms",
        # Scanning a small table would take a predicate lock on all of it: every writer would meet every other.
        "enable_seqscan": "off",
        "autovacuum_max_workers": 1,
        "autovacuum_naptime": "1min",
        "max_wal_senders": 0,
        "wal_level": "minimal",
        "max_logical_replication_workers": 0,
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_destination": "stderr",
        "logging_collector": "off",
        "log_line_prefix": "%m [%p] %q%a ",
        "log_checkpoints": "off",
        "lc_messages": "C",
    }
    if version >= (15,):
        # Else a backend that waits for a lock would outlive its client, and its gateway, until it gets the lock.
        values["client_connection_check_interval"] = "250ms"
    if version >= (18,):
        values["io_method"] = "sync"  # no worker processes
    return "".join(f"{key} = '{value}'\n" for key, value in values.items())


def new_password() -> str:
    """Return a password that cannot be guessed: 192 random bits."""
    return secrets.token_urlsafe(24)


def verifier(password: str) -> str:
    """Return what the server stores for *password* under SCRAM-SHA-256 (RFC 5803), with a single iteration.

    Iterations protect passwords that people choose. For a random one they only make each connection slower, by as
    much as everything else in connecting takes.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256$1:{salt64}${stored64}:{server64}"


def is_ready(data: Path, pid: int) -> bool:
    """Tell whether the postmaster *pid* has written into *data* that it takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


def log_since(log: Path, offset: int) -> str:
    """Return the *log* from byte *offset* on, at most its last 64 KiB; empty without a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(offset, log.stat().st_size - LOG_READ))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def failure(what: str, output: str) -> EnvironmentProblem:
    """Return the error for *what* did not work, with the line of *output* that says why and what helps against it."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"\b(FATAL|PANIC|error):", line)]
    line = re.sub(r"^[\d-]+ [\d:.]+ \w+ \[\d+\] ", "", (telling or lines or ["it said nothing"])[-1])
    remedy = next((remedy for sign, remedy in REMEDIES.items() if sign in output), "see 'lab doctor'")
    return EnvironmentProblem(f"{what}: {line}", remedy)
