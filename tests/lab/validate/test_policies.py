"""Every good policy is accepted, every wrong one is caught by its dimension, and what cannot be judged is refused."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from lab.clusters import make_cluster
from lab.clusters.base import Cluster
from lab.errors import UsageError
from lab.retry import Sessions, Work
from lab.state import RunFolder
from lab.validate import Scorecard, as_policy, validate_on
from lab.validate.cases import CASES
from lab.validate.policies.good import GOOD
from lab.validate.policies.wrong import WRONG
from lab.verdict import Verdict
from tests.lab.conftest import _new_root

pytestmark = pytest.mark.slow
numbers = itertools.count()
DEADLINE = 8.0
"""Seconds for wrong policies; good ones get the default."""


@pytest.fixture(scope="module")
async def cluster() -> AsyncIterator[Cluster]:
    root = _new_root()
    run = RunFolder.create("test", root)
    made = make_cluster("embedded", run, seed=1)
    try:
        await made.start(60)
        yield made
    finally:
        await made.stop(10)
        run.remove(10)
        shutil.rmtree(root)


ALIKE = {"keyless", "plain_loop"}
"""Good policies that are told from wrong ones by what the others of them show already."""


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.soak] if name in ALIKE else []) for name in GOOD]
)
async def test_a_good_policy_is_accepted_within_30_seconds(cluster: Cluster, name: str) -> None:
    cases = await validate_on(cluster, as_policy(GOOD[name], name), prefix=f"good{next(numbers)}c")
    card = Scorecard(name, cases)
    assert [(case.case, case.why) for case in cases if case.verdict is not Verdict.PASS] == []
    assert card.accepted


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_policy_is_caught_by_its_dimension(cluster: Cluster, name: str) -> None:
    policy, dimension = WRONG[name]
    chosen = [case for case in CASES if case.dimension == dimension]
    cases = await validate_on(
        cluster, as_policy(policy, name), cases=chosen, deadline=DEADLINE, prefix=f"wrong{next(numbers)}c"
    )
    assert Scorecard(name, cases).dimensions[dimension] is Verdict.FAIL, [(case.case, case.why) for case in cases]


def test_every_wrong_policy_names_its_mistake() -> None:
    assert all((policy.__doc__ or "").startswith("MISTAKE: ") for policy, _ in WRONG.values())


async def never_commits(sessions: Sessions, work: Work[Any]) -> Any:
    async with sessions() as session:
        return await work(session)


async def raises_at_once(sessions: Sessions, work: Work[Any]) -> Any:
    raise ValueError("not\nready")


async def works_twice(sessions: Sessions, work: Work[Any]) -> Any:
    async with sessions() as session, session.begin():
        await work(session)
        return await work(session)


@pytest.mark.parametrize(
    ("policy", "says"),
    [(never_commits, "applied never"), (raises_at_once, "raised ValueError"), (works_twice, "applied 2 times")],
)
async def test_a_policy_that_fails_the_clean_run_is_refused(
    cluster: Cluster, policy: Callable[..., Any], says: str
) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        await validate_on(cluster, as_policy(policy, "p"), cases=(), prefix=f"refused{next(numbers)}c")
    assert "\n" not in str(caught.value)
