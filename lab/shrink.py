"""Finding a smaller plan that still fails: what is it that the application cannot stand?

The method is delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002): leave
out halves, then quarters and so on, for as long as what remains still fails.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TypeVar

from faults.plan import Plan, Step
from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice
from lab.clusters.base import Cluster
from lab.runner import Result, run_scenario
from lab.scenario import Scenario
from lab.state import RunFolder
from lab.suite import able, open_cluster
from lab.verdict import Verdict

T = TypeVar("T")

TRIES = 2
"""Times that a plan may pass before it counts as one that does not fail: no database schedules the same way twice."""

MOST_RUNS = 40
"""Runs that a search may take."""

SERVICE = frozenset({"succeeds", "answers", "recovers"})
"""Checks of what users feel: chance and a busy machine fail them, too, so they count only where nothing else failed."""

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Shrunk:
    """What a search found: *plan* is the smallest that failed, with its *checks*; None if nothing failed at all.

    *complete* tells whether no step can be left out of it; it is False if the *runs* ran out before that was known.
    """

    plan: Plan | None
    checks: frozenset[str]
    runs: int
    complete: bool


async def shrink(
    scenario: Scenario,
    plan: Plan,
    *,
    cluster: str | ClusterChoice = "embedded",
    seed: int,
    tries: int = TRIES,
    most: int = MOST_RUNS,
    tell: Tell = lambda _: None,
) -> Shrunk:
    """Run *scenario* with ever smaller parts of *plan* on a cluster of its own, and keep what still fails.

    A part fails if one of its first *tries* runs fails a check that the whole plan failed (one of `SERVICE` only if
    that failed no other). At most *most* runs are made; *tell* hears of each. Raises as `run_suite` does.
    """
    async with AsyncExitStack() as stack:
        folder, made = open_cluster(cluster, seed)
        stack.callback(folder.remove, STOP)
        able(made, [scenario], skip_unable=False)
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        await made.start(made.starts_within)
        trial = _Trial(scenario, plan, made, folder, seed, tries, most, tell)
        whole = tuple(plan.steps)
        if not await trial.fails(whole):
            return Shrunk(None, frozenset(), trial.runs, complete=False)
        least = await smallest(whole, trial.fails)
        return Shrunk(replace(plan, steps=least), frozenset(trial.wanted), trial.runs, complete=not trial.exhausted)


class _Trial:
    """Runs parts of a plan, and remembers how they ended."""

    def __init__(
        self,
        scenario: Scenario,
        plan: Plan,
        cluster: Cluster,
        folder: RunFolder,
        seed: int,
        tries: int,
        most: int,
        tell: Tell,
    ) -> None:
        self._scenario, self._plan, self._cluster, self._folder = scenario, plan, cluster, folder
        self._seed, self._tries, self._most, self._tell = seed, tries, most, tell
        self.runs = 0
        self.wanted: set[str] = set()
        self.exhausted = False

    async def fails(self, steps: Sequence[Step]) -> bool:
        for _ in range(self._tries):
            if self.runs >= self._most:
                self.exhausted = True
                return False
            if await self._run(steps):
                return True
        return False

    async def _run(self, steps: Sequence[Step]) -> bool:
        self.runs += 1
        journal = self._folder.path / "journals" / f"{self.runs}.jsonl"
        plan = replace(self._plan, steps=tuple(steps))
        result = await run_scenario(self._scenario, self._cluster, seed=self._seed, journal=journal, plan=plan)
        failed = _failed(result)
        same = bool(failed & self.wanted if self.wanted else failed)
        if same and not self.wanted:
            self.wanted = sought(failed)
        journal.unlink(missing_ok=True)
        self._tell(f"run {self.runs}: {len(steps)} steps: {', '.join(sorted(failed)) or result.verdict.value}")
        return same


def sought(failed: set[str]) -> set[str]:
    """Return the checks by which a smaller plan fails like one that *failed* these."""
    return failed - SERVICE or failed


def _failed(result: Result) -> set[str]:
    return {finding.check for finding in result.findings if finding.verdict is Verdict.FAIL}


async def smallest(items: Sequence[T], fails: Callable[[Sequence[T]], Awaitable[bool]]) -> tuple[T, ...]:
    """Return a part of *items* (which fail), in their order, that still *fails* and from which no one can be left out.

    Asks about nothing first: where no item is needed, no search is.
    """
    left = tuple(items)
    if left and await fails(()):
        return ()
    parts = 2
    while len(left) > 1:
        size = -(-len(left) // parts)
        for begin in range(0, len(left), size):
            without = (*left[:begin], *left[begin + size :])
            if without and await fails(without):
                left, parts = without, max(parts - 1, 2)
                break
        else:
            if size == 1:
                return left
            parts = min(parts * 2, len(left))
    return left
