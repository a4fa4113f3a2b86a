"""A cluster of the user's own: DSNs that can be read, nothing touched but the lab's own database, nothing told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lab.clusters import _leftovers
from lab.clusters._dsn import read_dsns
from lab.clusters.external import ExternalCluster
from lab.clusters.gateways import session
from lab.clusters.postgres import PostgresServer
from lab.db.target import Address, Target
from lab.errors import EnvironmentProblem, UsageError
from lab.runner import run_scenario
from lab.scenarios import SCENARIOS
from lab.standing import describe
from lab.state import RunFolder
from lab.verdict import Verdict


def target_of(server: PostgresServer) -> Target:
    address = Address(server.host, server.port)
    return Target("postgresql", (address,), server.user, server.password, server.database)


def dsn_of(server: PostgresServer, password: str | None = None, user: str | None = None) -> str:
    who = f"{user or server.user}:{password or server.password}"
    return f"postgresql://{who}@{server.host}:{server.port}/{server.database}"


async def databases(server: PostgresServer) -> set[str]:
    target = target_of(server)
    async with session(target, target.addresses[0], 10.0) as admin:
        return {row[0] for row in await admin.fetch("SELECT datname FROM pg_database")}


@pytest.fixture
async def run(root: Path) -> AsyncIterator[RunFolder]:
    folder = RunFolder.create("test", root)
    yield folder
    await asyncio.to_thread(folder.remove, 10.0)


# DSNs


def test_a_dsn_names_user_password_host_port_and_database() -> None:
    target = read_dsns(("postgresql://me:se%40cret@db.example:5433/shop?sslmode=disable",))
    assert (target.user, target.password, target.database) == ("me", "se@cret", "shop")
    assert target.addresses == (Address("db.example", 5433),)
    assert "se@cret" not in repr(target)


@pytest.mark.parametrize(
    ("dsns", "addresses"),
    [
        (("postgresql://me@a,b:6000/shop",), [("a", 5432), ("b", 6000)]),
        (("postgresql://me@a:1,b:2/shop",), [("a", 1), ("b", 2)]),
        (("postgresql://me@a:1/shop", "postgresql://me@b/shop"), [("a", 1), ("b", 5432)]),
        (("cockroachdb+asyncpg://me@a/shop",), [("a", 26257)]),
    ],
)
def test_several_nodes_are_several_dsns_or_hosts(dsns: tuple[str, ...], addresses: list[tuple[str, int]]) -> None:
    assert read_dsns(dsns).addresses == tuple(Address(host, port) for host, port in addresses)


@pytest.mark.parametrize(
    ("dsns", "complaint"),
    [
        ((), "needs its addresses: --dsn postgresql://user:password@host:port/database"),
        (("secret",), "DSN 1 is none: write"),
        (("mysql://me:secret@a/b",), "DSN 1 is none: write"),
        (("postgresql://me:secret@a/b?nonsense=1",), "DSN 1 cannot be read: write"),
        (("postgresql://me:secret@/b",), "DSN 1 names no host"),
        (("postgresql://a/b?password=secret",), "DSN 1 names no user"),
        (("postgresql://me:secret@a:1,b:2,c:3,d/b?port=1,2",), "DSN 1 has 4 hosts and 2 ports"),
        (("postgresql://me:secret@a:70000/b",), "DSN 1 has a port that is none: they go from 1 to 65535"),
        (("postgresql://me:secret@/b?host=/var/run",), "DSN 1 names a socket's folder"),
        (("postgresql://me:secret@a/b", "postgresql://you:secret@a/b"), "DSN 2 differs from the first"),
    ],
)
def test_a_dsn_that_cannot_be_used_is_refused_without_being_repeated(dsns: tuple[str, ...], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_dsns(dsns)
    assert complaint in str(caught.value)
    assert "secret" not in str(caught.value)


# The cluster


async def test_it_makes_one_database_and_drops_it_and_touches_nothing_else(
    postgres: PostgresServer, run: RunFolder
) -> None:
    before = await databases(postgres)
    cluster = ExternalCluster(run, dsns=(dsn_of(postgres),) * 2)
    try:
        await cluster.start(30.0)
        (own,) = await databases(postgres) - before
        assert own == cluster.target.database
        assert own.startswith("lab_test_")
        assert [node.name for node in cluster.nodes] == ["n1", "n2"]
    finally:
        await cluster.stop(10.0)
    assert await databases(postgres) == before
    assert _leftovers.of_dead_runs(run.path) == []


async def test_credentials_appear_in_no_journal_log_or_description(
    postgres: PostgresServer, run: RunFolder, journal: Path
) -> None:
    cluster = ExternalCluster(run, dsns=(dsn_of(postgres),), seed=3)
    try:
        await cluster.start(30.0)
        result = await run_scenario(SCENARIOS["steady"], cluster, seed=3, journal=journal)
        assert result.verdict is Verdict.PASS
        run.describe(describe(cluster))
        written = [path for path in (journal, *run.path.rglob("*")) if path.is_file()]
        assert len(written) >= 3
        assert [path for path in written if postgres.password.encode() in path.read_bytes()] == []
        assert postgres.password not in repr(cluster.target)
    finally:
        await cluster.stop(10.0)


async def test_the_database_of_a_killed_run_is_dropped_by_the_next_one_and_a_live_ones_is_not(
    postgres: PostgresServer, root: Path, run: RunFolder
) -> None:
    dead = RunFolder.create("test", root)
    killed = ExternalCluster(dead, dsns=(dsn_of(postgres),))
    live = ExternalCluster(run, dsns=(dsn_of(postgres),))
    later = RunFolder.create("later", root)
    after = ExternalCluster(later, dsns=(dsn_of(postgres),))
    try:
        await killed.start(30.0)
        await live.start(30.0)
        left = killed.target.database
        await killed._gateways.stop(10.0)
        await asyncio.to_thread(dead.remove, 10.0)  # what a sweep does for a killed run; it knows no DSN
        assert left in await databases(postgres)

        await after.start(30.0)

        assert left not in await databases(postgres)
        assert live.target.database in await databases(postgres)
    finally:
        await after.stop(10.0)
        await live.stop(10.0)
        await asyncio.to_thread(later.remove, 10.0)


async def test_a_wrong_password_and_a_user_without_rights_are_one_line_without_secrets(
    postgres: PostgresServer, run: RunFolder
) -> None:
    target = target_of(postgres)
    async with session(target, target.addresses[0], 10.0) as admin:
        await admin.execute("DROP ROLE IF EXISTS lab_poor; CREATE ROLE lab_poor LOGIN PASSWORD 'poor-secret'")
    for dsn, problem in (
        (dsn_of(postgres, "wrong-secret"), "password authentication failed"),
        (dsn_of(postgres, "poor-secret", "lab_poor"), "permission denied to create database"),
    ):
        cluster = ExternalCluster(run, dsns=(dsn,))
        with pytest.raises(EnvironmentProblem) as caught:
            await cluster.start(30.0)
        await cluster.stop(10.0)
        assert problem in str(caught.value)
        assert "look at the DSN, and at the rights of its user" in str(caught.value)
        assert "secret" not in str(caught.value)


async def test_an_address_where_nobody_listens_is_told(run: RunFolder) -> None:
    cluster = ExternalCluster(run, dsns=("postgresql://me:secret@127.0.0.1:1/b",))
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:1: Connection refused; look at"):
        await cluster.start(30.0)


async def test_databases_that_are_named_after_the_labs_own_go_with_it(
    postgres: PostgresServer, run: RunFolder, root: Path
) -> None:
    before = await databases(postgres)
    target = target_of(postgres)
    cluster = ExternalCluster(run, dsns=(dsn_of(postgres),))
    await cluster.start(30.0)
    own = cluster.direct.database
    async with session(target, target.addresses[0], 10.0) as admin:
        await admin.execute(f"CREATE DATABASE {own}_c1")
        await admin.execute(f"CREATE DATABASE {own}x")  # somebody else's
    await cluster.stop(10.0)
    try:
        assert await databases(postgres) == before | {f"{own}x"}
    finally:
        async with session(target, target.addresses[0], 10.0) as admin:
            await admin.execute(f"DROP DATABASE {own}x")


def test_a_note_that_its_run_takes_away_meanwhile_is_no_trouble(
    root: Path, run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    _leftovers.remember(run.path, "lab_one")
    read = Path.read_text

    def forgotten_meanwhile(path: Path, *arguments: str, **others: str) -> str:
        path.unlink(missing_ok=True)
        return read(path, *arguments, **others)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_text", forgotten_meanwhile)
        assert _leftovers.of_dead_runs(run.path) == []
