"""The bank on a real database: what it asks for is drawn by the seed, and what it reads back explains every balance."""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker

from lab.checks import conserved, exactly_once, explained
from lab.history import Final, History, Operation, Outcome
from lab.retry import sqlstate
from lab.verdict import Verdict
from lab.workloads.bank import Account, Bank, TransferOrder
from lab.workloads.base import Request, Turn, Workload

RETRYABLE = {"40001", "40P01"}
BANK = Bank(accounts=4, initial=10, reads=0.25, most=5)


@pytest.fixture
async def sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    await BANK.set_up(engine)
    return async_sessionmaker(engine, expire_on_commit=False)


def requests(seed: int, count: int, bank: Bank = BANK) -> list[Request]:
    random = Random(seed)
    return [bank.next(random, Turn(0, number)) for number in range(count)]


def transfer(source: int, destination: int, amount: int) -> Request:
    """Return the request for one transfer, drawn until it is the wanted one."""
    wanted = {"from": source, "to": destination, "amount": amount}
    return next(request for request in requests(0, 10_000) if request.value == wanted)


async def carry_out(sessions: async_sessionmaker[AsyncSession], request: Request, unit: str = "u0") -> Any:
    async with sessions() as session, session.begin():
        return await request.perform(unit)(session)


def test_a_bank_is_a_workload() -> None:
    workload: Workload = BANK
    assert (workload.name, BANK.total) == ("bank", 40)


def test_the_seed_decides_what_is_asked_for() -> None:
    drawn = [[(request.kind, request.value) for request in requests(seed, 100)] for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]


def test_requests_are_reads_and_transfers_between_two_accounts_in_the_given_shares() -> None:
    drawn = requests(5, 4000)
    kinds = Counter(request.kind for request in drawn)
    assert set(kinds) == {"read", "transfer"}
    assert 0.22 < kinds["read"] / len(drawn) < 0.28
    values: list[Any] = [request.value for request in drawn if request.kind == "transfer"]
    assert {(value["from"], value["to"]) for value in values} == {(a, b) for a in range(4) for b in range(4) if a != b}
    assert {value["amount"] for value in values} == {1, 2, 3, 4, 5}


def test_only_transfers_have_an_effect() -> None:
    assert all(request.writes == (request.kind == "transfer") for request in requests(5, 100))


@pytest.mark.parametrize("amount", [0, -1])
def test_nobody_can_order_to_move_nothing_or_less(amount: int) -> None:
    with pytest.raises(ValueError, match="greater than 0"):
        TransferOrder(source=0, destination=1, amount=amount)


async def test_a_new_bank_has_every_account_at_its_initial_balance_and_nothing_on_record(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    state = await BANK.read_back(sessions)
    assert state.state == {"balances": {"0": 10, "1": 10, "2": 10, "3": 10}, "moved": {}}
    assert state.effects == {}


async def test_a_transfer_moves_money_once_and_is_on_record(sessions: async_sessionmaker[AsyncSession]) -> None:
    assert await carry_out(sessions, transfer(1, 2, 3), "u7") == "moved"
    state = await BANK.read_back(sessions)
    assert state.state == {"balances": {"0": 10, "1": 7, "2": 13, "3": 10}, "moved": {"1": -3, "2": 3}}
    assert state.effects == {"u7": 1}


async def test_a_transfer_that_the_account_cannot_pay_is_refused_and_still_has_its_effect_on_record(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    assert [await carry_out(sessions, transfer(0, 1, 5), f"u{number}") for number in range(3)] == [
        "moved",
        "moved",
        "refused",
    ]
    state: Any = await BANK.read_back(sessions)
    assert state.state["balances"]["0"] == 0
    assert state.effects == {"u0": 1, "u1": 1, "u2": 1}


async def test_a_transfer_that_is_applied_twice_shows_as_two_effects(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    for _ in range(2):
        await carry_out(sessions, transfer(1, 2, 3), "u7")
    assert (await BANK.read_back(sessions)).effects == {"u7": 2}


async def test_a_transfer_that_is_rolled_back_leaves_nothing(sessions: async_sessionmaker[AsyncSession]) -> None:
    async with sessions() as session:
        await transfer(1, 2, 3).perform("u7")(session)
        await session.rollback()
    assert (await BANK.read_back(sessions)).effects == {}


async def test_a_read_sees_all_accounts_as_the_conserved_check_wants_them(
    sessions: async_sessionmaker[AsyncSession],
) -> None:
    read = next(request for request in requests(0, 100) if request.kind == "read")
    await carry_out(sessions, transfer(1, 2, 3))
    assert await carry_out(sessions, read) == {"0": 10, "1": 7, "2": 13, "3": 10}


async def test_setting_up_again_begins_anew(sessions: async_sessionmaker[AsyncSession], engine: AsyncEngine) -> None:
    await carry_out(sessions, transfer(1, 2, 3))
    await Bank(accounts=2, initial=5).set_up(engine)
    state: Any = await BANK.read_back(sessions)
    assert (state.state["balances"], state.effects) == ({"0": 5, "1": 5}, {})


async def run_concurrently(sessions: async_sessionmaker[AsyncSession]) -> History:
    """Let clients transfer at the same time, without retries, and return what they were told and what is there."""

    async def client(number: int) -> list[Operation]:
        told = []
        for turn, request in enumerate(requests(number, 15)):
            index, result, outcome = number * 100 + turn, None, Outcome.FAIL
            unit = f"u{index}" if request.writes else None
            try:
                result, outcome = await carry_out(sessions, request, unit or ""), Outcome.OK
            except DBAPIError as error:
                if sqlstate(error) not in RETRYABLE:
                    raise
            told.append(Operation(index, number, request.kind, request.value, outcome, 0.0, 1.0, result, unit))
        return told

    told = await asyncio.gather(*(client(number) for number in range(4)))
    state = await BANK.read_back(sessions)
    return History(tuple(o for part in told for o in part), final=Final(state.state, state.effects, 0, 0))


CHECKS = (conserved(total=BANK.total, accounts=BANK.accounts), explained(initial=BANK.initial), exactly_once())


async def test_concurrent_transfers_keep_the_invariant(sessions: async_sessionmaker[AsyncSession]) -> None:
    history = await run_concurrently(sessions)
    assert [check(history).why for check in CHECKS if check(history).verdict is not Verdict.PASS] == []


async def test_money_that_comes_from_nowhere_is_seen_by_the_checks(sessions: async_sessionmaker[AsyncSession]) -> None:
    history = await run_concurrently(sessions)
    async with sessions() as session, session.begin():
        await session.execute(update(Account).where(Account.id == 0).values(balance=Account.balance + 1))
    state = await BANK.read_back(sessions)
    spoilt = History(history.operations, final=Final(state.state, state.effects, 0, 0))
    assert [check(spoilt).verdict for check in CHECKS] == [Verdict.FAIL, Verdict.FAIL, Verdict.PASS]
