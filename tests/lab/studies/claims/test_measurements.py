"""The measurements can fail: where the truth is made another, they say so; where they see nothing, they doubt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.orm import Session

from lab.clusters.base import Capability, Cluster
from lab.studies.claims import CLAIMS, Claim, Measured, Part, Truth
from lab.studies.claims.__main__ import main
from lab.studies.claims.asynchronous import blocks_the_loop, directly, shared_session
from lab.studies.claims.base import judge, truth_of
from lab.studies.claims.bench import Bench, bench
from lab.studies.claims.closing import unclosed_session
from lab.studies.claims.connections import pre_ping
from lab.studies.claims.isolation import engine_level
from lab.studies.claims.loading import joined_or_selectin, n_plus_one
from lab.studies.claims.repeating import do_execute
from lab.studies.claims.study import ask
from lab.verdict import Verdict

NAMED = {claim.name: claim for claim in CLAIMS}


@pytest.fixture
async def place(cluster: Cluster) -> AsyncIterator[Bench]:
    async with bench(cluster, 7) as made:
        yield made


def holds(measured: Measured) -> list[bool | None]:
    """Return which parts hold."""
    return [part.holds for part in measured.parts]


async def test_below_serializable_the_same_money_is_spent_twice(place: Bench) -> None:
    measured = await engine_level(place, level="REPEATABLE READ")

    assert holds(measured) == [False, True]
    finding = judge(NAMED["isolation-level-engine"], measured)
    assert finding.verdict is Verdict.FAIL
    assert "write skew asyncpg 10 of 10, psycopg 10 of 10" in finding.why


async def test_a_session_that_is_closed_keeps_no_connection(place: Bench) -> None:
    assert holds(await unclosed_session(place, close=True)) == [False, False, True]


async def test_a_synchronous_session_in_a_thread_does_not_stop_the_loop(place: Bench) -> None:
    async def in_a_thread(session: Session) -> None:
        await asyncio.to_thread(session.execute, text("SELECT pg_sleep(0.3)"))

    measured = await blocks_the_loop(place, call=in_a_thread)
    assert measured.truth in (Truth.FALSE, Truth.UNCLEAR)
    assert (await blocks_the_loop(place, call=directly)).truth in (Truth.TRUE, Truth.UNCLEAR)


async def test_tasks_with_sessions_of_their_own_lose_nothing(place: Bench) -> None:
    assert holds(await shared_session(place, shared=False)) == [False, False, False]


async def test_a_dto_of_what_is_not_loaded_eagerly_costs_n_plus_one_statements(place: Bench) -> None:
    measured = await n_plus_one(place, eager=False)
    assert (holds(measured), measured.truth) == ([True, False], Truth.PARTLY)


async def test_one_collection_alone_does_not_explode(place: Bench) -> None:
    assert holds(await joined_or_selectin(place, both=False)) == [False, True, True]


async def test_without_pings_an_application_meets_what_died_in_the_pool(place: Bench) -> None:
    measured = await pre_ping(place, ping=False)
    assert holds(measured) == [False, False, False]
    assert "4 errors with it, 4 without" in measured.parts[0].seen


async def test_a_listener_that_does_not_repeat_applies_once(place: Bench) -> None:
    measured = await do_execute(place, attempts=1)
    assert holds(measured) == [False, True]
    assert measured.parts[0].seen == "asyncpg: 40001; psycopg: 40001"


@pytest.mark.parametrize(
    ("parts", "truth"),
    [
        ([True, True], Truth.TRUE),
        ([True, False], Truth.PARTLY),
        ([False, False], Truth.FALSE),
        ([True, None], Truth.UNCLEAR),
        ([], Truth.UNCLEAR),
    ],
)
def test_a_sentence_is_as_true_as_its_parts(parts: list[bool | None], truth: Truth) -> None:
    assert truth_of(parts) is truth


async def _nothing(_: Bench) -> Measured:
    raise InvalidRequestError("the database is in a bad mood")


CLAIM = Claim("moods", "Databases have moods", (True, False), "be kind", _nothing)


def test_another_part_that_holds_fails_though_the_verdict_is_the_same() -> None:
    measured = Measured("", (Part("they have", False, "0 moods"), Part("they show them", True, "3 shown")))
    finding = judge(CLAIM, measured)
    assert finding.verdict is Verdict.FAIL
    assert finding.why == (
        "partly, and partly was expected: 'they have' does not hold: 0 moods; 'they show them' holds: 3 shown"
    )


def test_a_part_that_could_not_be_seen_is_doubt_and_one_too_few_is_a_failure() -> None:
    seen = Part("they have", True, "1 mood")
    dim = Measured("", (seen, Part("they show them", None, "too dark")))
    assert judge(CLAIM, dim).verdict is Verdict.INCONCLUSIVE
    assert judge(CLAIM, Measured("", (seen,))).verdict is Verdict.FAIL


async def test_what_cannot_be_measured_is_doubt_with_the_reason(cluster: Cluster) -> None:
    answer = await ask(CLAIM, cluster, 7)
    assert (answer.truth, answer.finding.verdict) == (Truth.UNCLEAR, Verdict.INCONCLUSIVE)
    assert answer.finding.why == "could not be measured: the database is in a bad mood"


async def test_what_the_cluster_lacks_for_a_claim_is_told(cluster: Cluster) -> None:
    answer = await ask(replace(CLAIM, needs=frozenset({Capability.LEASES})), cluster, 7)
    assert answer.finding.why == "could not be measured: 'embedded' has no leases"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "No such file or directory"),
        ("{", "usage: python -m lab.studies.claims FILE"),
        ('{"studies": []}', "no study 'claims' in it"),
        ('{"studies": [{"study": "claims", "data": []}]}', "Expected `object`, got `array`"),
    ],
)
def test_the_page_of_what_is_no_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, problem: str
) -> None:
    file = tmp_path / "run.json"
    if content is not None:
        file.write_text(content)
    assert main([str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert problem in said.err
    assert said.err.count("\n") == 1
