"""What holds for every workload: the seed decides, effects can be counted, and concurrent work keeps the invariant."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from lab.checks import exactly_once
from lab.db.engine import session_factory
from lab.errors import UsageError
from lab.verdict import Verdict
from lab.workloads import WORKLOADS, choose_workload
from lab.workloads.base import Request, Turn
from tests.lab.workloads.conftest import Engines
from tests.lab.workloads.working import POLICY, carry_out, judged, requests, work


def asked(name: str, seed: int, client: int = 0) -> list[tuple[str, Any]]:
    return [(request.kind, request.value) for request in requests(WORKLOADS[name], seed, 60, client)]


def first_write(name: str) -> Request:
    """Return a write that does not depend on what was there before."""
    return next(r for r in requests(WORKLOADS[name], 1, 50) if r.writes and r.kind != "cas")


def test_an_unknown_workload_is_answered_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean list-append"):
        choose_workload("list_append")


@pytest.mark.parametrize("name", WORKLOADS)
def test_the_seed_and_the_turn_decide_what_is_asked_for(name: str) -> None:
    assert asked(name, 1) == asked(name, 1)
    assert asked(name, 1) != asked(name, 2)


@pytest.mark.parametrize("name", WORKLOADS)
def test_what_only_reads_has_no_effect(name: str) -> None:
    for request in requests(WORKLOADS[name], 1, 60):
        micro: Any = request.value
        reads = all(kind == "r" for kind, _, _ in micro) if request.kind == "txn" else request.kind == "read"
        assert request.writes != reads


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_says_in_a_line_what_it_does(name: str) -> None:
    workload = WORKLOADS[name]
    assert workload.name == name
    assert 0 < len(workload.about) <= 100
    assert workload.checks, "nothing would be judged"


def test_no_two_turns_have_a_value_in_common() -> None:
    values = [Turn(client, number).value(place) for client in range(30) for number in range(30) for place in range(4)]
    assert len(set(values)) == len(values)


@pytest.mark.parametrize("name", ["list-append", "rw-register"])
def test_nobody_writes_a_value_twice(name: str) -> None:
    micro: list[Any] = [op for client in range(6) for _, value in asked(name, client, client) for op in value]
    written = Counter((key, value) for kind, key, value in micro if kind != "r")
    assert len(written) > 100
    assert set(written.values()) == {1}


def test_a_list_does_not_grow_for_ever() -> None:
    drawn = [r for client in range(6) for r in requests(WORKLOADS["list-append"], client, 192, client)]
    micro: list[Any] = [op for request in drawn for op in (request.value if isinstance(request.value, list) else ())]
    appends = Counter(key for kind, key, _ in micro if kind == "append")
    assert len(appends) == 48
    assert max(appends.values()) <= 50
    assert min(appends.values()) >= 10


@pytest.mark.parametrize("name", WORKLOADS)
async def test_concurrent_work_keeps_the_invariant(name: str, engine: AsyncEngine) -> None:
    workload = WORKLOADS[name]
    history = await work(engine, workload)
    findings = [*judged(workload, history), exactly_once()(history)]
    assert [(f.check, f.why) for f in findings if f.verdict is not Verdict.PASS] == []


@pytest.mark.parametrize("name", WORKLOADS)
async def test_a_workload_does_the_same_with_psycopg(name: str, engines: Engines) -> None:
    workload = WORKLOADS[name]
    history = await work(engines("SERIALIZABLE", "psycopg"), workload, clients=2, turns=20)
    findings = [*judged(workload, history), exactly_once()(history)]
    assert [(f.check, f.why) for f in findings if f.verdict is not Verdict.PASS] == []


@pytest.mark.parametrize("name", WORKLOADS)
async def test_a_write_is_counted_as_often_as_it_is_applied(name: str, engine: AsyncEngine) -> None:
    workload, sessions, request = WORKLOADS[name], session_factory(engine), first_write(name)
    await workload.set_up(engine)

    async with sessions() as session:
        await request.perform("u1")(session)
        await session.rollback()
    for _ in range(2):
        await POLICY(sessions, request.perform("u2"))
    await POLICY(sessions, request.perform("u3"))

    assert (await workload.read_back(sessions)).effects == {"u2": 2, "u3": 1}


@pytest.mark.parametrize("name", WORKLOADS)
async def test_setting_up_again_begins_anew(name: str, engine: AsyncEngine) -> None:
    workload, sessions = WORKLOADS[name], session_factory(engine)
    await workload.set_up(engine)
    fresh = await workload.read_back(sessions)
    await carry_out(sessions, first_write(name))
    await workload.set_up(engine)

    assert await workload.read_back(sessions) == fresh
    assert fresh.effects == {}
