"""What each workload is for: its own checks catch an anomaly of a real database, or one that is planted into it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm.exc import StaleDataError

from lab.db.engine import session_factory
from lab.history import Final, History, Json, Operation, Outcome
from lab.retry import sqlstate
from lab.verdict import Verdict
from lab.workloads import WORKLOADS
from lab.workloads.bank_tables import account
from lab.workloads.base import Request
from lab.workloads.counter import Counted
from lab.workloads.list_append import AppendList, ListAppend
from lab.workloads.monotonic import Stamped
from lab.workloads.orders import Orders, Payment, Product
from lab.workloads.register import Register
from lab.workloads.rw_register import RwRegister, RwRegisters
from lab.workloads.sequential import Part
from lab.workloads.sets import Element
from lab.workloads.version_counter import VersionCounter, Versioned
from lab.workloads.write_skew import WriteSkew
from tests.lab.workloads.conftest import Engines
from tests.lab.workloads.working import carry_out, done, failing, judged, request_for, requests, with_final, work

BLOCKED = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")


@asynccontextmanager
async def begun(engine: AsyncEngine, request: Request, unit: str) -> AsyncIterator[tuple[AsyncSession, Any]]:
    """Yield a session in which *request* has run and is not committed, and its answer."""
    async with session_factory(engine)() as session:
        yield session, await request.perform(unit)(session)


async def both_at_once(engine: AsyncEngine, first: Request, second: Request) -> list[Any]:
    """Run both, so that each has read before the other one commits, the first one first; return their answers."""
    async with begun(engine, first, "u0") as (one, answer), session_factory(engine)() as other:
        task = asyncio.ensure_future(second.perform("u1")(other))
        async with asyncio.timeout(10):
            while not task.done() and not await _somebody_waits(engine):
                pass
        await one.commit()
        answers = [answer, await task]
        await other.commit()
        return answers


async def _somebody_waits(engine: AsyncEngine) -> bool:
    async with engine.connect() as connection:
        return bool(await connection.scalar(BLOCKED))


async def lose_a_row(session: AsyncSession) -> None:
    element = await session.scalar(select(Element.element).order_by(Element.element).limit(1))
    await session.execute(delete(Element).where(Element.element == element))


async def turn_back_the_clock(session: AsyncSession) -> None:
    await session.execute(update(Stamped).where(Stamped.value == 3).values(stamp=1))


async def lose_the_middle_of_a_chain(session: AsyncSession) -> None:
    await session.execute(delete(Part).where(Part.chain == 0, Part.part == 1))


async def pay_twice(session: AsyncSession) -> None:
    payment = (await session.scalars(select(Payment).limit(1))).one()
    session.add(Payment(payment.unit, payment.amount))


async def skip_a_payment(session: AsyncSession) -> None:
    unit = await session.scalar(select(Payment.unit).limit(1))
    await session.execute(delete(Payment).where(Payment.unit == unit))


async def lose_an_append(session: AsyncSession) -> None:
    found = (await session.scalars(select(AppendList).order_by(AppendList.key).limit(1))).one()
    found.elements = found.elements.rpartition(",")[0] or "0"


PLANTED: list[tuple[str, Callable[[AsyncSession], Awaitable[Any]], str]] = [
    ("bank-tables", lambda s: s.execute(update(account(0)).values(balance=account(0).balance + 1)), "conserved"),
    ("register", lambda s: s.execute(update(Register).where(Register.key == 0).values(value=99)), "linearizable"),
    ("list-append", lose_an_append, "appends kept"),
    ("list-append", lambda s: s.execute(update(AppendList).values(elements="1,2")), "serializable"),
    ("rw-register", lambda s: s.execute(update(RwRegister).values(value=-1)), "values written"),
    ("set", lose_a_row, "set"),
    ("monotonic", turn_back_the_clock, "monotonic"),
    ("sequential", lose_the_middle_of_a_chain, "sequential"),
    ("orders", pay_twice, "paid once"),
    ("orders", skip_a_payment, "paid once"),
    ("orders", lambda s: s.execute(update(Product).values(stock=Product.stock + 1)), "stock kept"),
    ("counter", lambda s: s.execute(update(Counted).values(value=Counted.value - 1)), "counter"),
    ("version-counter", lambda s: s.execute(update(Versioned).values(value=Versioned.value + 1)), "counter"),
]


@pytest.mark.parametrize(("name", "plant", "check"), PLANTED, ids=[f"{name}-{check}" for name, _, check in PLANTED])
async def test_what_is_planted_into_the_database_is_caught(
    name: str, plant: Callable[[AsyncSession], Awaitable[Any]], check: str, engine: AsyncEngine
) -> None:
    workload = WORKLOADS[name]
    history = await work(engine, workload, clients=2, turns=15)
    assert failing(workload, history) == set()

    async with session_factory(engine)() as session, session.begin():
        await plant(session)

    assert check in failing(workload, await with_final(engine, workload, history))


APPENDS = ListAppend(keys=1, most=1, reads=0.0)


async def test_read_committed_loses_appends_and_the_checks_say_so(engines: Engines) -> None:
    weak = engines("READ COMMITTED")
    await APPENDS.set_up(weak)
    first, second = (request_for(APPENDS, "txn", client=client) for client in (1, 2))
    answers = await both_at_once(weak, first, second)

    history = await with_final(weak, APPENDS, done((first, answers[0]), (second, answers[1])))
    assert "appends kept" in failing(APPENDS, history)


async def test_serializable_refuses_the_transaction_that_would_have_lost_an_append(engine: AsyncEngine) -> None:
    await APPENDS.set_up(engine)
    with pytest.raises(DBAPIError) as caught:
        await both_at_once(engine, *(request_for(APPENDS, "txn", client=client) for client in (1, 2)))
    assert sqlstate(caught.value) == "40001"


REGISTERS = RwRegisters(keys=2, most=2)


def reads_one_and_writes_the_other(client: int, read: int, write: int) -> Request:
    for seed in range(1000):
        (request,) = requests(REGISTERS, seed, 1, client)
        micro: Any = request.value
        if [operation[:2] for operation in micro] == [["r", read], ["w", write]]:
            return request
    raise AssertionError


async def test_repeatable_read_lets_write_skew_on_registers_pass_and_the_cycle_is_found(engines: Engines) -> None:
    weak = engines("REPEATABLE READ")
    await REGISTERS.set_up(weak)
    first, second = reads_one_and_writes_the_other(1, 0, 1), reads_one_and_writes_the_other(2, 1, 0)
    answers = await both_at_once(weak, first, second)

    history = await with_final(weak, REGISTERS, done((first, answers[0]), (second, answers[1])))
    finding, _ = judged(REGISTERS, history)
    assert finding.verdict is Verdict.FAIL
    assert {anomaly.name for anomaly in finding.anomalies} == {"G2-item"}


DOCTORS = WriteSkew(shifts=1, doctors=2)


async def test_repeatable_read_sends_both_doctors_home_and_the_check_says_so(engines: Engines) -> None:
    weak = engines("REPEATABLE READ")
    await DOCTORS.set_up(weak)
    first, second = (request_for(DOCTORS, "leave", [0, number]) for number in (0, 1))
    answers = await both_at_once(weak, first, second)
    assert answers == ["leaves", "leaves"]

    history = await with_final(weak, DOCTORS, done((first, answers[0]), (second, answers[1])))
    assert failing(DOCTORS, history) == {"somebody on call"}


async def test_serializable_keeps_one_doctor(engine: AsyncEngine) -> None:
    await DOCTORS.set_up(engine)
    with pytest.raises(DBAPIError) as caught:
        await both_at_once(engine, *(request_for(DOCTORS, "leave", [0, number]) for number in (0, 1)))
    assert sqlstate(caught.value) == "40001"


SHOP = Orders(products=1, stock=10)


async def test_read_committed_sells_what_is_not_there_and_the_check_says_so(engines: Engines) -> None:
    weak = engines("READ COMMITTED")
    await SHOP.set_up(weak)
    order = request_for(SHOP, "order", {"product": 0, "quantity": 2})
    answers = await both_at_once(weak, order, order)

    history = await with_final(weak, SHOP, done((order, answers[0]), (order, answers[1])))
    assert failing(SHOP, history) == {"stock kept"}


async def test_a_shop_sells_no_more_than_it_has(engine: AsyncEngine) -> None:
    shop = replace(SHOP, stock=5)
    await shop.set_up(engine)
    order = request_for(shop, "order", {"product": 0, "quantity": 2})
    sessions = session_factory(engine)
    assert [await carry_out(sessions, order, f"u{n}") for n in range(3)] == ["ordered", "ordered", "sold out"]

    state: Any = (await shop.read_back(sessions)).state
    assert state["stock"] == {"0": [1, 4]}
    assert [quantity for _, _, quantity in state["orders"]] == [2, 2, 0]
    assert len(state["payments"]) == 2


async def test_a_stale_memory_of_a_counter_is_refused_and_a_forged_one_loses_an_increment(engine: AsyncEngine) -> None:
    counter = VersionCounter(most=1)
    await counter.set_up(engine)
    sessions = session_factory(engine)
    mine, other = (request_for(counter, "add", client=client) for client in (1, 2))

    await carry_out(sessions, mine)
    remembered = counter.remembered[1]
    await carry_out(sessions, other)
    with pytest.raises(StaleDataError):
        await carry_out(sessions, mine)
    await carry_out(sessions, mine)
    history = done(*[(mine, None)] * 3)
    assert failing(counter, await with_final(engine, counter, history)) == set()

    counter.remembered[1] = (remembered[0], counter.remembered[1][1])  # as if nobody had looked at the version
    await carry_out(sessions, mine)
    history = done(*[(mine, None)] * 4)
    assert failing(counter, await with_final(engine, counter, history)) == {"counter"}


async def test_a_compare_and_set_that_finds_another_value_is_refused_and_leaves_nothing(engine: AsyncEngine) -> None:
    workload = WORKLOADS["register"]
    history = await work(engine, workload, clients=2, turns=40)
    refused = [o for o in history.operations if o.outcome is Outcome.FAIL]
    assert history.final is not None
    assert refused
    assert {o.kind for o in refused} == {"cas"}
    assert not {o.unit for o in refused} & history.final.effects.keys()


async def test_an_unknown_outcome_is_settled_by_what_the_database_holds(engine: AsyncEngine) -> None:
    counter = WORKLOADS["counter"]
    history = await work(engine, counter, clients=2, turns=10)
    adds = [o for o in history.operations if o.kind == "add"]
    doubtful = [_unknown(o) if o.kind == "add" else o for o in history.operations]
    never = Operation(99, 9, "add", 5, Outcome.INFO, 0.0, None, None, "u99")

    (finding,) = judged(counter, History((*doubtful, never), final=history.final))
    assert finding.verdict is Verdict.PASS
    assert f"{len(adds)} done, 1 not" in finding.why

    final = history.final or Final(None, {}, 0, 0)
    one_more: Json = {"reads": [{"kind": "read", "value": None, "result": _last(final.state) + 5}]}
    (finding,) = judged(counter, History((*doubtful, never), final=Final(one_more, final.effects, 0, 0)))
    assert finding.verdict is Verdict.FAIL, "it was not applied, so nothing explains the value"


def _unknown(operation: Operation) -> Operation:
    return msgspec.structs.replace(operation, outcome=Outcome.INFO, completed=None, result=None)


def _last(state: Any) -> int:
    return int(state["reads"][0]["result"])
