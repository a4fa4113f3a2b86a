"""The explorer finds what a lost answer does to an operation, and says exactly how to see it again."""

from __future__ import annotations

import contextlib
import io
import shlex
from collections import Counter
from typing import cast

import pytest
from rich.console import Console

from lab.clusters.base import Cluster
from lab.db.drivers import Driver
from lab.errors import UsageError
from lab.explore import UNKNOWN, Asked, Exploration, Question, explore, lines, matrix, to_json, verdict_of
from lab.explore.explorer import Unit
from lab.retry._signs import sqlstate
from lab.verdict import Verdict
from tests.lab.explore import shop

LOST_ANSWERS = {"5:reset@reply", "5:close@reply", "5:40003@reply", "5:57P01@reply"}
"""Cases of `shop.once` in which COMMIT is applied and the client hears an error."""

ASKED = Asked("shop:once", "shop:orders")


async def explored(
    cluster: Cluster,
    unit: Unit,
    *,
    driver: Driver = "asyncpg",
    only: str | None = None,
    unknown: frozenset[str] = UNKNOWN,
) -> Exploration:
    """Explore a unit of the shop."""
    question = Question(unit, shop.orders, shop.setup, driver=driver, unknown=unknown, only=only, within=10.0)
    return await explore(cluster, question, lambda _total: None)


def wrong(found: Exploration) -> dict[str, str]:
    """Return the cases that did not pass, with the ledger's word."""
    return {case.only: case.ledger for case in found.cases if case.verdict is not Verdict.PASS}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_an_operation_with_an_idempotency_key_passes_everywhere(cluster: Cluster, driver: Driver) -> None:
    """Whatever is lost, the order is there once; and more than once a statement has been struck."""
    found = await explored(cluster, shop.right, driver=driver)
    assert wrong(found) == {}
    assert verdict_of(found) is Verdict.PASS
    assert {case.ran.effects for case in found.cases} == {1}


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_an_unheard_commit_that_is_called_failed_is_a_phantom(cluster: Cluster, driver: Driver) -> None:
    """Each moment is listed, and only those after the point of no return are wrong."""
    found = await explored(cluster, shop.once, driver=driver)
    assert [step.kind for step in found.steps] == ["CONNECT", "BEGIN", "UPDATE", "INSERT", "COMMIT"]
    assert wrong(found) == dict.fromkeys(LOST_ANSWERS, "phantom")


async def test_a_blind_retry_makes_duplicates(cluster: Cluster) -> None:
    """The second order is found by counting, not by what the client says."""
    assert wrong(await explored(cluster, shop.blind)) == dict.fromkeys(LOST_ANSWERS, "duplicate")


async def test_swallowed_errors_lose_orders(cluster: Cluster) -> None:
    """Everything that strikes before the point of no return is lost."""
    words = Counter(wrong(await explored(cluster, shop.swallowing)).values())
    assert set(words) == {"lost"}
    assert words["lost"] > len(LOST_ANSWERS)


async def test_an_error_that_says_unknown_is_honest(cluster: Cluster) -> None:
    """Its class is known by name."""
    found = await explored(cluster, shop.honest, unknown=frozenset({"NobodyKnows"}))
    assert wrong(found) == {}
    assert set(wrong(await explored(cluster, shop.honest))) == LOST_ANSWERS


async def test_connections_that_are_not_given_back_are_a_failure(cluster: Cluster) -> None:
    """And they do not reach into the next run."""
    found = await explored(cluster, shop.leaking, only="4:40001@request")
    with contextlib.suppress(Exception):  # the explorer has ended its connection
        await shop.KEPT.pop().close()
    assert [(case.ledger, case.ran.left, case.verdict) for case in found.cases] == [("right", 1, Verdict.FAIL)]


async def test_statements_of_a_failed_transaction_do_not_shift_the_count(cluster: Cluster) -> None:
    """An injected error after ROLLBACK TO hits the statement that it was meant for."""
    found = await explored(cluster, shop.recovering)
    assert [step.failed for step in found.steps if step.kind == "ROLLBACK TO"] == [True]
    # What fails before its Execute has no reply of its own to strike.
    struck = [(case.step.kind, case.ran.firings[0].statement) for case in found.cases if case.step.kind != "SELECT"]
    assert {met for met, _ in struck} >= {"SAVEPOINT", "ROLLBACK TO", "UPDATE", "INSERT"}
    assert [(meant, met) for meant, met in struck if meant != met] == []


async def test_one_case_alone_is_the_same_as_among_all(cluster: Cluster) -> None:
    """The command line of a failure repeats exactly it."""
    among = {case.only: case for case in (await explored(cluster, shop.once)).cases}
    for only in sorted(LOST_ANSWERS):
        (alone,) = (await explored(cluster, shop.once, only=only)).cases
        assert (alone.said, alone.ledger, alone.ran.effects) == (among[only].said, among[only].ledger, 1)
        assert alone.ran.error is not None
        assert sqlstate(alone.ran.error) == sqlstate(among[only].ran.error or ValueError())


async def test_each_failure_comes_with_its_command(cluster: Cluster) -> None:
    """For people and for machines."""
    found = await explored(cluster, shop.once)
    shown = [line.plain.strip() for line in lines(found, ASKED)]
    commands = [
        shlex.join(["lab", "explore", "shop:once", "--effects", "shop:orders", "--only", o]) for o in wrong(found)
    ]
    assert [line for line in shown if line.startswith("lab explore")] == commands
    answer = to_json(found, ASKED)
    assert [one["reproduce"] for one in answer["cases"] if one["verdict"] == "fail"] == commands
    assert all(one["evidence"] for one in answer["cases"])


async def test_the_matrix_leaves_no_action_out_on_a_narrow_terminal(cluster: Cluster) -> None:
    """It gets wider instead; on a usual one it fits."""
    found = await explored(cluster, shop.once)
    for width in (20, 80, 200):
        console = Console(file=io.StringIO(), width=width)
        console.print(matrix(found, width), crop=False)
        text = cast("io.StringIO", console.file).getvalue()
        assert text.count("PHAN") == len(LOST_ANSWERS)
        assert "…" not in text
        assert max(map(len, text.splitlines())) <= max(width, 80)


@pytest.mark.parametrize(
    ("unit", "why"),
    [
        (shop.twice, "left 2 effects instead of 1"),
        (shop.raising, "clean run 1 said failed (ValueError: no stock)"),
        (shop.silent, "left 0 effects instead of 1"),
        (shop.moody, "two clean runs sent different statements"),
    ],
)
async def test_a_unit_that_cannot_be_repeated_is_refused(cluster: Cluster, unit: Unit, why: str) -> None:
    """And told why."""
    with pytest.raises(UsageError, match=why.replace("(", r"\(").replace(")", r"\)")):
        await explored(cluster, unit)


async def test_a_unit_that_does_not_end_is_refused(cluster: Cluster) -> None:
    """Within the bound that was given."""
    with pytest.raises(UsageError, match=r"did not end within 0\.2 s on clean run 1"):
        await explore(cluster, Question(shop.endless, shop.orders, shop.setup, within=0.2), lambda _total: None)


@pytest.mark.slow
@pytest.mark.parametrize("unit", [pytest.param(shop.deaf, marks=pytest.mark.soak), shop.spinning])
async def test_a_unit_that_goes_on_when_it_is_cancelled_fails_its_case_and_the_next_one_is_struck(
    cluster: Cluster, unit: Unit
) -> None:
    """In an application of its own."""
    found = await explore(cluster, Question(unit, shop.orders, shop.setup, within=0.3), lambda _total: None)
    assert {case.verdict for case in found.cases} == {Verdict.FAIL}
    assert len({case.step.number for case in found.cases}) == len(found.steps) == 5
    assert all("did not end within" in case.why for case in found.cases)


async def test_a_set_up_that_raises_is_the_users_trouble(cluster: Cluster) -> None:
    """Before anything of the unit is started."""
    with pytest.raises(UsageError, match="the set-up raises ValueError: no stock"):
        await explore(cluster, Question(shop.once, shop.orders, shop.raising), lambda _total: None)  # type: ignore[arg-type]


async def test_effects_that_are_no_number_are_refused(cluster: Cluster) -> None:
    """In one line."""
    with pytest.raises(UsageError, match="has to return an int, not str"):
        await explore(cluster, Question(shop.once, shop.not_a_number, shop.setup), lambda _total: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("only", "why"),
    [
        ("9:reset@reply", "the moments 1 to 5"),
        ("5:rest@reply", "did you mean reset@reply"),
        ("reset", "write NUMBER:ACTION@SIDE"),
        ("1:reset@reply", "at CONNECT"),
    ],
)
async def test_a_case_that_does_not_exist_is_refused(cluster: Cluster, only: str, why: str) -> None:
    """With what would be right."""
    with pytest.raises(UsageError, match=why):
        await explored(cluster, shop.once, only=only)
