"""Claims about isolation: where the level has to be said, what it prevents, and what it does not promise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Final

from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from lab.db.drivers import Driver
from lab.db.engine import IsolationLevel, session_factory
from lab.studies.claims.base import Claim, Measured, Part
from lab.studies.claims.bench import DRIVERS, Bench, sa_warnings, sqlstate_of
from lab.studies.claims.models import Account
from lab.studies.claims.needs import Need

ROUNDS: Final = 10
"""How often an interleaving is run."""

WITHDRAWALS: Final = 5
"""Tasks that take money from one account at once."""

CONFLICT: Final = "40001"

_LEVEL = text("SHOW transaction_isolation")


async def engine_level(bench: Bench, *, level: IsolationLevel = "SERIALIZABLE") -> Measured:
    """Interleave two withdrawals that each look at both accounts, at *level* and at the level below SERIALIZABLE."""
    await bench.fresh()
    skews, retries = {}, {}
    below = _below(bench)
    for driver in DRIVERS:
        skews[driver], retries[driver] = await _skews(bench.engine(driver, isolation_level=level))
    weak, _ = await _skews(bench.engine(isolation_level=below))
    found, total = sum(skews.values()), ROUNDS * len(DRIVERS)
    prevented = None if weak < ROUNDS else found == 0
    conflicts = sum(retries.values())
    return Measured(
        f"write skew {found} of {total}; a level below {weak} of {ROUNDS}",
        (
            Part(
                "at engine level it keeps two transactions from spending the same money",
                prevented,
                f"write skew {', '.join(f'{driver} {n} of {ROUNDS}' for driver, n in skews.items())}; at {below} "
                f"{weak} of {ROUNDS}",
            ),
            Part("it does so without errors that have to be retried", conflicts == 0, f"{CONFLICT} {conflicts} times"),
        ),
    )


def _below(bench: Bench) -> IsolationLevel:
    """Return the level next below SERIALIZABLE that SQLAlchemy offers for this database and that every server has."""
    # CockroachDB has READ COMMITTED besides, but not on every server; where nothing isolates, the skew is certain.
    offered = bench.engine().dialect.get_isolation_level_values(None)  # type: ignore[arg-type]  # it looks at none
    return "REPEATABLE READ" if "REPEATABLE READ" in offered else "AUTOCOMMIT"


async def _skews(engine: AsyncEngine) -> tuple[int, int]:
    """Return in how many rounds both withdrawals were committed, and how many ended with a conflict."""
    skews = conflicts = 0
    for _ in range(ROUNDS):
        await _balances(engine, 100, 100)
        ended = await _interleaved(engine)
        skews += ended == ["ok", "ok"]
        conflicts += ended.count(CONFLICT)
    return skews, conflicts


async def _balances(engine: AsyncEngine, *balances: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(Account.__table__.delete())  # type: ignore[attr-defined]  # a Table has it
        # One statement, not one for each row: old CockroachDB takes psycopg's pipelines amiss.
        await connection.execute(insert(Account).values([{"id": n, "balance": b} for n, b in enumerate(balances, 1)]))


async def _interleaved(engine: AsyncEngine) -> list[str]:
    """Have two sessions read both balances, then each write one of them, then commit; return how each ended."""
    ended = []
    async with AsyncSession(engine) as one, AsyncSession(engine) as other:
        both = ((one, 1), (other, 2))
        for session, _ in both:
            assert sum((await session.scalars(select(Account.balance))).all()) == 200  # noqa: S101 - what both rely on
        for session, account in both:
            ended.append(await _ended(_take(session, account, 150)))
        for number, (session, _) in enumerate(both):
            if ended[number] == "ok":
                ended[number] = await _ended(session.commit())
    return ended


async def _take(session: AsyncSession, account: int, amount: int) -> None:
    statement = update(Account).where(Account.id == account).values(balance=Account.balance - amount)
    await session.execute(statement)


async def _ended(step: Awaitable[Any]) -> str:
    try:
        await step
    except DBAPIError as error:
        return sqlstate_of(error)
    return "ok"


async def on_execute(bench: Bench) -> Measured:
    """Give the level on session.execute(), and ask the server which one the transaction has."""
    seen = {driver: await _level_on_execute(bench, driver) for driver in DRIVERS}
    levels = [level for level, _, _ in seen.values()]
    right = [level for _, _, level in seen.values()]
    told = sum(warned for _, warned, _ in seen.values())
    known = (
        None if any(level != "serializable" for level in right) else all(level == "serializable" for level in levels)
    )
    return Measured(
        f"'{levels[0]}', {told} warnings",
        (
            Part(
                "execution_options={'isolation_level': 'SERIALIZABLE'} on session.execute() has an effect",
                known,
                f"asked for SERIALIZABLE: {', '.join(f'{driver} {seen[driver][0]}' for driver in DRIVERS)}; given on "
                f"session.connection(): {right[0]}",
            ),
            Part("if it has none, an error or a warning says so", bool(told), f"{told} warnings, no error"),
        ),
    )


async def _level_on_execute(bench: Bench, driver: Driver) -> tuple[str, int, str]:
    """Return the level with the option on execute(), the warnings, and the level with the option on connection()."""
    options: Mapping[str, Any] = {"isolation_level": "SERIALIZABLE"}
    engine = bench.engine(driver, isolation_level="READ COMMITTED")
    async with AsyncSession(engine) as session:
        with sa_warnings() as warned:
            ignored = await session.scalar(_LEVEL, execution_options=options)
    async with AsyncSession(engine) as session:
        await session.connection(execution_options=dict(options))
        obeyed = await session.scalar(_LEVEL)
    return str(ignored).lower(), len(warned), str(obeyed).lower()


async def not_strict(bench: Bench) -> Measured:
    """Acknowledge a write while a SERIALIZABLE transaction is under way, and read in it; then begin another."""
    await bench.fresh()
    engine = bench.engine(isolation_level="SERIALIZABLE")
    within = after = 0
    for _ in range(ROUNDS):
        old, new = await _read_beside_write(engine)
        within += old
        after += new
    return Measured(
        f"{ROUNDS - within} of {ROUNDS} reads miss an acknowledged write",
        (
            Part(
                "a transaction that begins after an acknowledged write sees it", after == ROUNDS, f"{after} of {ROUNDS}"
            ),
            Part(
                "every read sees what was acknowledged before it",
                within == ROUNDS,
                f"{within} of {ROUNDS} reads in a transaction under way; all of them committed",
            ),
        ),
    )


async def _read_beside_write(engine: AsyncEngine) -> tuple[bool, bool]:
    """Return whether a read in a transaction under way saw the write, and whether one in a new transaction did."""
    await _balances(engine, 0)
    balance = select(Account.balance).where(Account.id == 1)
    async with AsyncSession(engine) as early:
        await early.scalar(balance)
        async with session_factory(engine).begin() as writer:
            await writer.execute(update(Account).values(balance=1))
        seen = await early.scalar(balance)
        await early.commit()
    async with AsyncSession(engine) as late:
        return seen == 1, await late.scalar(balance) == 1


async def for_update(bench: Bench) -> Measured:
    """Take money in several tasks at once, by the document's code, with and without with_for_update()."""
    await bench.fresh()
    left = {}
    for locked in (True, False):
        engine = bench.engine(isolation_level="READ COMMITTED", pool_size=WITHDRAWALS)
        await _balances(engine, WITHDRAWALS)
        await _withdraw_at_once(engine, locked=locked)
        async with engine.connect() as connection:
            left[locked] = int(await connection.scalar(select(Account.balance)) or 0)
    safe = None if left[False] == 0 else left[True] == 0
    return Measured(
        f"{left[True]} of {WITHDRAWALS} updates lost; without it {left[False]}",
        (
            Part(
                "select().with_for_update() keeps concurrent 'balance -= x' from losing updates",
                safe,
                f"{left[True]} of {WITHDRAWALS} lost at READ COMMITTED; {left[False]} without it",
            ),
        ),
    )


async def _withdraw_at_once(engine: AsyncEngine, *, locked: bool) -> None:
    sessions = session_factory(engine)
    everybody_has_read = asyncio.Barrier(1 if locked else WITHDRAWALS)

    async def withdraw() -> None:
        async with sessions() as session, session.begin():
            statement = select(Account).where(Account.id == 1)
            account = (await session.execute(statement.with_for_update() if locked else statement)).scalar_one()
            async with asyncio.timeout(2):
                await everybody_has_read.wait()
            account.balance -= 1

    await asyncio.gather(*(withdraw() for _ in range(WITHDRAWALS)))


CLAIMS = (
    Claim(
        "isolation-level-engine",
        "execution_options={'isolation_level': 'SERIALIZABLE'} enforces strict consistency for financial workloads",
        (True, False),
        "create_engine(isolation_level='SERIALIZABLE'), and a retry of the whole transaction at 40001",
        engine_level,
    ),
    Claim(
        "isolation-on-execute",
        "The isolation level can be given as an execution option of a statement",
        (False, False),
        "on the engine, or session.connection(execution_options=...) before the first statement",
        on_execute,
        of_server=frozenset({Need.WEAKER_LEVEL}),
    ),
    Claim(
        "serializable-is-not-strict",
        "SERIALIZABLE is strict consistency: a read sees everything that was acknowledged before",
        (True, False),
        "serializable orders transactions, not statements: begin a new transaction to see what happened meanwhile",
        not_strict,
    ),
    Claim(
        "for-update",
        "select().with_for_update() in session.begin() makes 'balance -= x' safe under concurrency",
        (True,),
        "do so at weaker levels, or let the database subtract: values(balance=Account.balance - x)",
        for_update,
        of_server=frozenset({Need.WEAKER_LEVEL}),
    ),
)
