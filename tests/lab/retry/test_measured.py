"""The error table, measured: what each event looks like through each driver, and what follows from it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace

import pytest
from asyncpg import PostgresError
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError

from lab.db import Address, ConnectTimedOut, IdempotencyKey, resilient_engine, session_factory
from lab.db.drivers import Driver
from lab.retry import Decision, Phase, Sessions, classify, is_key_violation, sqlstate
from tests.lab.db.forwarder import Forwarder, Loss
from tests.lab.retry.bench import Bench, apply, fail, fail_at_commit


@dataclass(frozen=True, slots=True)
class Sight:
    """What a client sees of an error."""

    kind: str
    state: str | None
    invalidated: bool


def sight(error: BaseException) -> Sight:
    return Sight(type(error).__name__, sqlstate(error), getattr(error, "connection_invalidated", False))


def by_driver(driver: Driver, asyncpg: Sight, psycopg: Sight) -> Sight:
    return asyncpg if driver == "asyncpg" else psycopg


async def test_40001_is_a_bare_error_with_asyncpg_and_operational_with_psycopg(lab: Bench) -> None:
    async with lab.sessions() as session:
        with pytest.raises(DBAPIError) as caught:
            await fail(session, "40001")
    expected = by_driver(lab.driver, Sight("DBAPIError", "40001", False), Sight("OperationalError", "40001", False))
    assert sight(caught.value) == expected


async def test_an_error_at_commit_surfaces_from_commit(lab: Bench) -> None:
    async with lab.sessions() as session:
        await fail_at_commit(session, "40001")
        with pytest.raises(DBAPIError) as caught:
            await session.commit()
    assert sqlstate(caught.value) == "40001"
    assert classify(caught.value, Phase.COMMIT) is Decision.RETRY


async def test_the_error_after_an_error_is_25p02(lab: Bench) -> None:
    async with lab.sessions() as session:
        for state in ("40001", "25P02"):
            with pytest.raises(DBAPIError) as caught:
                await fail(session, "40001")
            assert sqlstate(caught.value) == state
    expected = by_driver(lab.driver, Sight("DBAPIError", "25P02", False), Sight("InternalError", "25P02", False))
    assert sight(caught.value) == expected


async def test_the_violated_idempotency_key_is_told_from_other_violations(lab: Bench) -> None:
    async with lab.sessions() as session, session.begin():
        session.add(IdempotencyKey(key="k"))
    async with lab.sessions() as session:
        session.add(IdempotencyKey(key="k"))
        with pytest.raises(IntegrityError) as caught:
            await session.commit()
    assert is_key_violation(caught.value)
    async with lab.sessions() as session:
        with pytest.raises(IntegrityError) as other:
            await fail(session, "23505")
    assert not is_key_violation(other.value)


@pytest.mark.parametrize("loss", [Loss.ACK, Loss.REQUEST])
async def test_a_connection_cut_at_commit_looks_the_same_applied_or_not(
    lab: Bench, forwarder: Forwarder, loss: Loss
) -> None:
    forwarder.arm(b"COMMIT", loss)
    async with lab.sessions() as session:
        await apply(session, "cut")
        with pytest.raises(DBAPIError) as caught:
            await session.commit()
    expected = by_driver(lab.driver, Sight("DBAPIError", "08003", True), Sight("OperationalError", None, True))
    assert sight(caught.value) == expected
    assert classify(caught.value, Phase.COMMIT) is Decision.UNKNOWN
    assert classify(caught.value, Phase.STATEMENT) is Decision.RETRY
    assert await lab.effects("cut") == (1 if loss is Loss.ACK else 0)


async def test_a_backend_killed_before_the_next_call_is_a_connection_loss(lab: Bench) -> None:
    async with lab.sessions() as session:
        await apply(session, "killed")
        assert await lab.terminate("app-%") == 1
        await asyncio.sleep(0.05)  # lets the driver read the end of its connection
        with pytest.raises(DBAPIError) as caught:
            await session.execute(text("SELECT 1"))
        with pytest.raises(PendingRollbackError) as after:
            await session.execute(text("SELECT 1"))
    expected = by_driver(lab.driver, Sight("InterfaceError", None, True), Sight("OperationalError", "57P01", True))
    assert sight(caught.value) == expected
    assert classify(caught.value, Phase.STATEMENT) is Decision.RETRY
    assert classify(after.value, Phase.STATEMENT) is Decision.RETRY


async def test_a_refused_connect_is_raw_with_asyncpg(lab: Bench) -> None:
    error = await connect_error(lab, Address("127.0.0.1", 1))
    assert sight(error) == by_driver(
        lab.driver, Sight("ConnectionRefusedError", None, False), Sight("OperationalError", None, False)
    )
    assert classify(error, Phase.CONNECT) is Decision.RETRY_LATER


async def test_a_connect_that_is_reset_is_transient(lab: Bench) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with await asyncio.start_server(reset, "127.0.0.1", 0) as server:
        error = await connect_error(lab, Address("127.0.0.1", server.sockets[0].getsockname()[1]))
    assert classify(error, Phase.CONNECT) is Decision.RETRY_LATER


async def test_a_connect_into_a_black_hole_ends_in_time_with_an_error_of_ours(lab: Bench) -> None:
    held: list[asyncio.StreamWriter] = []

    async def hold(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)

    started = asyncio.get_running_loop().time()
    async with await asyncio.start_server(hold, "127.0.0.1", 0) as server:
        error = await connect_error(lab, Address("127.0.0.1", server.sockets[0].getsockname()[1]))
        for writer in held:
            writer.transport.abort()
    assert isinstance(error, ConnectTimedOut)
    assert asyncio.get_running_loop().time() - started < 0.8
    assert classify(error, Phase.CONNECT) is Decision.RETRY_LATER


async def connect_error(lab: Bench, address: Address) -> BaseException:
    engine = resilient_engine(replace(lab.target, addresses=(address,)), driver=lab.driver, connect_timeout=0.3)
    with pytest.raises((DBAPIError, OSError, PostgresError)) as caught:
        async with engine.connect():
            pass
    await engine.dispose()
    error: BaseException = caught.value
    return error


async def test_too_many_connections_are_told_by_state_with_both_drivers(lab: Bench) -> None:
    async with lab.admin.begin() as connection:
        await connection.execute(text("DROP ROLE IF EXISTS retry_test_narrow"))
        await connection.execute(text("CREATE ROLE retry_test_narrow LOGIN PASSWORD 'x' CONNECTION LIMIT 0"))
    narrow = replace(lab.target, user="retry_test_narrow", password="x")
    engine = resilient_engine(narrow, driver=lab.driver)
    with pytest.raises(Exception, match="too many connections") as caught:
        async with engine.connect():
            pass
    await engine.dispose()
    async with lab.admin.begin() as connection:
        await connection.execute(text("DROP ROLE retry_test_narrow"))
    assert sqlstate(caught.value) == "53300"
    assert isinstance(caught.value, DBAPIError) is (lab.driver == "psycopg")
    assert classify(caught.value, Phase.CONNECT) is Decision.RETRY_LATER


async def test_an_unknown_database_is_not_retried_with_either_driver(lab: Bench) -> None:
    engine = resilient_engine(replace(lab.target, database="nowhere"), driver=lab.driver)
    with pytest.raises(Exception, match="does not exist") as caught:
        async with engine.connect():
            pass
    await engine.dispose()
    assert classify(caught.value, Phase.CONNECT) is Decision.NEVER


async def test_a_command_timeout_is_a_loss_with_both_drivers(lab: Bench, forwarder: Forwarder) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, command_timeout=0.3)
    async with session_factory(engine)() as session:
        await session.execute(text("SELECT 1"))
        forwarder.arm(b"INSERT", Loss.SILENT_REQUEST)
        started = asyncio.get_running_loop().time()
        with pytest.raises(DBAPIError) as caught:
            await apply(session, "late")
        assert asyncio.get_running_loop().time() - started < 1.0
        await session.invalidate()
    await engine.dispose()
    assert sight(caught.value) == Sight("OperationalError", None, True)
    assert classify(caught.value, Phase.STATEMENT) is Decision.RETRY
    assert classify(caught.value, Phase.COMMIT) is Decision.UNKNOWN


async def test_a_statement_timeout_of_the_server_is_a_judgement(lab: Bench) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, statement_timeout=0.1)
    async with engine.connect() as connection:
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT pg_sleep(2)"))
    await engine.dispose()
    assert sqlstate(caught.value) == "57014"
    assert classify(caught.value, Phase.STATEMENT) is Decision.JUDGEMENT


async def test_an_idle_transaction_ended_by_the_server_is_a_loss(lab: Bench) -> None:
    engine = resilient_engine(lab.target, driver=lab.driver, idle_in_transaction_timeout=0.05)
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 1"))
        await asyncio.sleep(0.3)
        with pytest.raises(DBAPIError) as caught:
            await connection.execute(text("SELECT 1"))
    await engine.dispose()
    assert sight(caught.value).invalidated
    assert classify(caught.value, Phase.STATEMENT) is Decision.RETRY


async def test_a_stale_plan_fails_once_with_asyncpg_and_never_with_psycopg(lab: Bench) -> None:
    async with lab.admin.begin() as connection:
        await connection.execute(text("CREATE TABLE IF NOT EXISTS retry_test_plan (a int)"))
    engine = resilient_engine(lab.target, driver=lab.driver, pool_size=1)
    decisions: list[Decision | None] = []
    try:
        for change in (False, True, False):
            if change:
                async with lab.admin.begin() as connection:
                    await connection.execute(text("ALTER TABLE retry_test_plan ADD COLUMN b int"))
            error = await plan_error(session_factory(engine))
            decisions.append(classify(error, Phase.STATEMENT) if error else None)
    finally:
        await engine.dispose()
        async with lab.admin.begin() as connection:
            await connection.execute(text("DROP TABLE retry_test_plan"))
    assert decisions == [None, Decision.RETRY_ONCE if lab.driver == "asyncpg" else None, None]


async def plan_error(sessions: Sessions) -> DBAPIError | None:
    try:
        async with sessions() as session:
            for _ in range(10):  # psycopg prepares a statement when it is used for the fifth time
                await session.execute(text("SELECT * FROM retry_test_plan"))
    except DBAPIError as error:
        return error
    return None


@pytest.mark.parametrize("state", ["57P01", "08006"])
async def test_a_synthetic_loss_on_a_live_connection_does_not_invalidate_it(lab: Bench, state: str) -> None:
    async with lab.sessions() as session:
        with pytest.raises(DBAPIError) as caught:
            await fail(session, state)
    assert not sight(caught.value).invalidated
    assert classify(caught.value, Phase.COMMIT) is Decision.UNKNOWN


async def test_asyncpg_says_when_commit_was_never_sent(lab: Bench) -> None:
    async with lab.sessions() as session:
        await apply(session, "never sent")
        await lab.terminate("app-%")
        await asyncio.sleep(0.05)
        with pytest.raises(DBAPIError) as caught:
            await session.commit()
    expected = Decision.RETRY if lab.driver == "asyncpg" else Decision.UNKNOWN
    assert classify(caught.value, Phase.COMMIT) is expected
    assert ("cannot call Transaction.commit()" in str(caught.value)) is (lab.driver == "asyncpg")


async def test_a_swallowed_error_makes_commit_lie(lab: Bench) -> None:
    """Why work must not swallow: PostgreSQL answers COMMIT of a failed transaction with ROLLBACK and no error."""
    async with lab.sessions() as session:
        session.add(IdempotencyKey(key="lie"))
        await session.flush()
        with pytest.raises(DBAPIError):
            await session.execute(text("SELECT 1/0"))
        await session.commit()
    async with lab.sessions() as session:
        assert await session.scalar(select(IdempotencyKey.key)) is None
