"""A failing plan is made smaller, and a recorded run is repeated with its plan, seed, workload and isolation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.pgwire.rules import lost_ack
from faults.plan import Bend, Plan, Strike, at
from faults.toxics import Latency
from lab.cli import exit_code
from lab.clusters.base import Cluster
from lab.journal import read_journal
from lab.retry import wrong
from lab.runner import run_scenario
from lab.scenarios import SCENARIOS
from lab.shrink import shrink, smallest, sought
from lab.verdict import Verdict


@given(needed=st.sets(st.integers(0, 15), max_size=4), others=st.integers(0, 15))
async def test_what_remains_is_what_is_needed_and_nothing_else(needed: set[int], others: int) -> None:
    asked = 0

    async def fails(items: Sequence[int]) -> bool:
        nonlocal asked
        asked += 1
        return needed <= set(items)

    items = sorted({*needed, *range(others)})

    assert set(await smallest(items, fails)) == needed
    assert asked <= 200


async def test_a_part_that_fails_by_itself_is_found_in_few_questions() -> None:
    asked = []

    async def fails(items: Sequence[int]) -> bool:
        asked.append(items)
        return 77 in items

    assert await smallest(range(128), fails) == (77,)
    assert len(asked) < 30


def test_what_was_lost_is_sought_rather_than_what_chance_fails_too() -> None:
    assert sought({"exactly once", "succeeds", "recovers"}) == {"exactly once"}
    assert sought({"succeeds"}) == {"succeeds"}


@pytest.mark.slow
async def test_of_a_plan_only_the_fault_remains_that_the_policy_cannot_stand() -> None:
    slow = at(0.1, Bend(Latency(delay=0.005), on="n1"), lasting=0.3)
    lost = at(0.0, Strike(replace(lost_ack(), times=4)), lasting=0.8)
    plan = Plan((slow, replace(slow, fault=Bend(Latency(delay=0.004), on="n2")), lost), 7)
    scenario = replace(SCENARIOS["lost-acks"], policy=wrong.blind_retry, seconds=0.8)

    found = await shrink(scenario, plan, seed=7)

    assert found.plan is not None
    assert found.plan.steps == (lost,)
    assert found.complete
    assert "exactly once" in found.checks


async def test_a_run_of_a_policy_that_no_journal_holds_is_not_repeated(
    cluster: Cluster, seed: int, journal: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = replace(SCENARIOS["steady"], policy=wrong.no_retry, seconds=0.1)
    await run_scenario(quick, cluster, seed=seed, journal=journal)

    assert exit_code(["replay", str(journal), "--rerun"]) == 2
    assert "it ran with the policy no_retry, which a journal does not hold" in capfd.readouterr().err


@pytest.mark.slow
def test_what_fails_without_any_fault_is_told_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    weak = ["run", "anomalies", "--isolation", "read-committed", "--seed", "7", "--report", str(tmp_path)]
    assert exit_code(weak) == 1
    journal = tmp_path / "anomalies.jsonl"
    assert read_journal(journal).run.isolation == "READ COMMITTED"
    capfd.readouterr()

    assert exit_code(["replay", str(journal), "--shrink", "--json"]) == 1

    answer = capfd.readouterr()
    found = msgspec.json.decode(answer.out)
    assert found["plan"]["steps"] == []
    assert "serializable" in found["checks"]
    assert "fails without any fault" in answer.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["a", "b", "--rerun"], "take one journal"),
        (["a", "--rerun", "--shrink"], "choose one"),
        (["nothing.jsonl", "--shrink"], "No such file"),
    ],
)
def test_a_wrong_request_is_answered_in_one_line(
    arguments: list[str], problem: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(["replay", *arguments]) == 2
    assert problem in capfd.readouterr().err


@pytest.mark.slow
def test_a_run_is_repeated_with_its_plan_and_seed(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert exit_code(["run", "conflicts", "--workload", "set", "--seed", "11", "--report", str(tmp_path)]) == 0
    first = read_journal(tmp_path / "conflicts.jsonl")
    capfd.readouterr()

    assert exit_code(["replay", str(tmp_path / "conflicts.jsonl"), "--rerun", "--json"]) == 0

    again = msgspec.json.decode(capfd.readouterr().out)
    assert again["run"]["seed"] == 11
    assert again["results"][0]["workload"] == "set"
    assert again["results"][0]["plan"] == first.run.plan
    assert again["results"][0]["verdict"] == Verdict.PASS
