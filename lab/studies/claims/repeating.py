"""Claims about repeating: which errors waiting cures, and at which level work may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import event, func, insert, literal, select, update
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, make_transient_to_detached
from sqlalchemy.orm.exc import StaleDataError
from tenacity import AsyncRetrying, RetryError, retry_if_exception_type, stop_after_attempt, wait_exponential

from faults.pgwire.rules import Rule, Where
from lab.clusters.base import Capability
from lab.db.drivers import Driver
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import DRIVERS, Bench, sqlstate_of
from lab.studies.claims.models import Account, Versioned
from lab.studies.claims.needs import Need

ATTEMPTS: Final = 5
"""How often a retry policy tries."""


def patient(*kinds: type[BaseException]) -> AsyncRetrying:
    """Return what people write: exponential back-off with tenacity (milliseconds here, so that nobody waits)."""
    return AsyncRetrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.001, max=0.01),
        retry=retry_if_exception_type(kinds),
    )


async def integrity(bench: Bench) -> Measured:
    """Repeat a duplicate INSERT with back-off, and a stale UPDATE as it was and from a new read."""
    engine = await bench.fresh()
    async with engine.begin() as connection:
        await connection.execute(insert(Account).values(id=1, balance=1))
        await connection.execute(insert(Versioned).values(id=1, balance=1, version=1))
    # At SERIALIZABLE the database is quicker, and ends the later one with 40001.
    weaker = bench.engine(isolation_level="READ COMMITTED")
    duplicate = await _attempts(lambda: _insert_again(engine), IntegrityError)
    as_it_was = await _attempts(_stale(weaker, again=False), StaleDataError)
    anew = await _attempts(_stale(weaker, again=True), StaleDataError)
    serializable = await _conflict(bench.engine(isolation_level="SERIALIZABLE"))
    return Measured(
        f"Integrity {_of(duplicate)}, stale {_of(as_it_was)}, reread {_of(anew)}",
        (
            Part("back-off cures IntegrityError", duplicate[0], f"successes {_of(duplicate)} attempts"),
            Part("back-off cures StaleDataError", as_it_was[0], f"successes {_of(as_it_was)}, the same work repeated"),
            Part("repeating all of the work, with a new read, cures it", anew[0], f"successes {_of(anew)} attempts"),
            Part(
                "at SERIALIZABLE a conflict shows as one of these errors",
                serializable in ("StaleDataError", "IntegrityError"),
                f"it shows as {serializable}",
            ),
        ),
    )


def _of(attempts: tuple[bool, int]) -> str:
    return f"{int(attempts[0])}/{attempts[1]}"


async def _attempts(work: Callable[[], Any], kind: type[BaseException]) -> tuple[bool, int]:
    """Return whether the work succeeded, and in how many attempts."""
    made = 0
    try:
        async for attempt in patient(kind):
            with attempt:
                made += 1
                await work()
    except RetryError:
        return False, made
    return True, made


async def _insert_again(engine: AsyncEngine) -> None:
    async with AsyncSession(engine) as session, session.begin():
        session.add(Account(id=1, balance=2))


def _stale(engine: AsyncEngine, *, again: bool) -> Callable[[], Any]:
    """Return work that writes what it has read before somebody else wrote; read anew in later attempts, or not."""
    known: list[tuple[int, int]] = []

    async def work() -> None:
        async with AsyncSession(engine) as session, session.begin():
            if known and not again:
                row = await session.run_sync(_as_read, *known[0])
            else:
                row = await session.get_one(Versioned, 1)
            if not known:
                known.append((row.balance, row.version))
                async with engine.begin() as other:
                    await other.execute(update(Versioned).values(version=Versioned.version + 1))
            row.balance += 1

    return work


def _as_read(session: Session, balance: int, version: int) -> Versioned:
    """Return the row in the state in which it was read first: what a retry has that keeps its objects."""
    row = Versioned(id=1, balance=balance, version=version)
    make_transient_to_detached(row)
    session.add(row)
    return row


async def _conflict(engine: AsyncEngine) -> str:
    """Have two transactions change a versioned row at once; return what the later one meets."""
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        rows = [await session.get_one(Versioned, 1) for session in (one, other)]
        for row in rows:
            row.balance += 1
        await one.commit()
        try:
            await other.commit()
        except DBAPIError as error:
            return sqlstate_of(error)
        except StaleDataError as error:
            return type(error).__name__
    return "nothing"


async def do_execute(bench: Bench, *, attempts: int = 3) -> Measured:
    """Repeat failed statements in a do_execute listener: in a transaction, and where an acknowledgement is lost."""
    await bench.fresh()
    seen = {driver: await _in_transaction(bench, driver, attempts) for driver in DRIVERS}
    effects = {driver: await _lost_ack(bench, driver, attempts) for driver in DRIVERS}
    states = seen[DRIVERS[0]]
    return Measured(
        f"{', '.join(states[:3])}; applied {'/'.join(str(n) for n in effects.values())} times",
        (
            Part(
                "a statement that failed in a transaction succeeds when it is repeated",
                all(states[-1] == "ok" for states in seen.values()),
                "; ".join(f"{driver}: {', '.join(states)}" for driver, states in seen.items()),
            ),
            Part(
                "a statement whose answer was an error is not applied twice",
                None if 0 in effects.values() else max(effects.values()) == 1,
                "; ".join(f"{driver}: applied {n} times" for driver, n in effects.items()),
            ),
        ),
    )


def repeating(engine: AsyncEngine, attempts: int) -> list[str]:
    """Have the engine try every statement so often, as is done by mistake; return what each attempt met."""
    met: list[str] = []

    def execute(cursor: Any, statement: str, parameters: Any, _context: Any) -> bool:  # noqa: LAB303
        for left in reversed(range(attempts)):
            try:
                cursor.execute(statement, parameters)
            except Exception as error:
                met.append(sqlstate_of(error))
                if not left:
                    raise
            else:
                met.append("ok")
                return True
        return False

    event.listen(engine.sync_engine, "do_execute", execute)
    return met


async def _in_transaction(bench: Bench, driver: Driver, attempts: int) -> list[str]:
    engine = bench.engine(driver, isolation_level="SERIALIZABLE")
    async with engine.begin() as connection:
        await connection.execute(Account.__table__.delete())  # type: ignore[attr-defined]  # a Table has it
        await connection.execute(insert(Account).values(id=1, balance=1))
    met = repeating(engine, attempts)
    async with engine.connect() as one:
        await one.execute(select(Account.balance))
        async with bench.engine(isolation_level="SERIALIZABLE").begin() as other:
            await other.execute(update(Account).values(balance=2))
        met.clear()
        try:
            await one.execute(update(Account).values(balance=3))
        except DBAPIError:
            await one.rollback()
    return list(met)


async def _lost_ack(bench: Bench, driver: Driver, attempts: int) -> int:
    """Lose the answer to an INSERT without a transaction (40003 comes instead); return how often it was applied."""
    control, name = bench.cluster.control, f"{bench.name}-{driver}"
    engine = bench.engine(driver, target=bench.cluster.target, isolation_level="AUTOCOMMIT")
    repeating(engine, attempts)
    balance = 1000 + DRIVERS.index(driver)
    where = Where(application_name=bench.name, sql="INSERT INTO claims_account")
    async with engine.connect() as connection:
        await connection.execute(select(1))
        await control.arm(Rule(name, "reply", "error", where, sqlstate="40003", ttl=10))
        try:
            rows = select(func.coalesce(func.max(Account.id), 0) + 1, literal(balance))
            with suppress(DBAPIError):
                await connection.execute(insert(Account).from_select(["id", "balance"], rows))
        finally:
            await control.disarm(name)
        return int(await connection.scalar(select(func.count()).where(Account.balance == balance)) or 0)


async def by_tenacity(bench: Bench) -> Measured:
    """Repeat with tenacity one statement of a conflicting transaction, and the transaction as a whole."""
    await bench.fresh()
    engine = bench.engine(isolation_level="SERIALIZABLE")
    statement = await _by_statement(engine)
    whole = await _by_transaction(engine)
    return Measured(
        f"statement: {', '.join(statement[:2])}; whole: {', '.join(whole)}",
        (
            Part("a decorator around a statement repeats it safely", statement[-1] == "ok", ", ".join(statement)),
            Part("a decorator around the whole transaction does", whole[-1] == "ok", ", ".join(whole)),
        ),
    )


async def _by_statement(engine: AsyncEngine) -> list[str]:
    met: list[str] = []
    async with AsyncSession(engine) as session:
        await _read_then_conflict(engine, session)
        try:
            async for attempt in patient(SQLAlchemyError):
                with attempt:
                    await _note(met, session.execute(update(Account).values(balance=3)))
        except RetryError:
            await session.rollback()
    return met


async def _by_transaction(engine: AsyncEngine) -> list[str]:
    met: list[str] = []
    async for attempt in patient(SQLAlchemyError):
        with attempt:
            async with AsyncSession(engine) as session, session.begin():
                if met:
                    await session.execute(select(Account.balance))
                else:
                    await _read_then_conflict(engine, session)
                await _note(met, session.execute(update(Account).values(balance=3)))
    return met


async def _read_then_conflict(engine: AsyncEngine, session: AsyncSession) -> None:
    """Have the session read a row that somebody else changes right after."""
    async with engine.begin() as other:
        await other.execute(Account.__table__.delete())  # type: ignore[attr-defined]  # a Table has it
        await other.execute(insert(Account).values(id=1, balance=1))
    await session.execute(select(Account.balance))
    async with engine.begin() as other:
        await other.execute(update(Account).values(balance=2))


async def _note(met: list[str], step: Any) -> None:
    try:
        await asyncio.wait_for(step, 5)
    except SQLAlchemyError as error:
        met.append(sqlstate_of(error))
        raise
    met.append("ok")


CLAIMS = (
    Claim(
        "integrity-retry",
        "StaleDataError and IntegrityError must be handled with exponential backoff and idempotent transactions",
        (False, False, True, False),
        "never repeat IntegrityError; at StaleDataError and 40001 repeat the whole transaction, with its reads",
        integrity,
        of_server=frozenset({Need.WEAKER_LEVEL}),
    ),
    Claim(
        "do-execute-retry",
        "A custom do_execute event listener ensures that failed statements are safely retried",
        (False, False),
        "repeat transactions, not statements, and only what is known not to have been applied: lab.retry.RetryPolicy",
        do_execute,
        frozenset({Capability.WIRE_RULES}),
    ),
    Claim(
        "tenacity-retry",
        "Retry decorators such as tenacity retry failed statements without corrupting session state",
        (False, True),
        "decorate the function that opens the session, never one that is given it",
        by_tenacity,
    ),
)
