"""A rehearsal from end to end: a cluster, an application at work, an incident, somebody who ends it, and the proof."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Final

from faults.plan import Plan
from lab.cleanup import STOP, to_its_end
from lab.clusters import ClusterChoice
from lab.clusters.base import Cluster
from lab.conducting import Live
from lab.errors import UsageError
from lab.history import History
from lab.observer import Nobody
from lab.runbook.ability import facts_of, is_able, needed_of, require_able
from lab.runbook.application import Door, bank, rehearsal
from lab.runbook.model import Runbook
from lab.runbook.record import Drill, Service, judge_service, service_during
from lab.runbook.stage import Player, Say, Stage, automatic
from lab.runner import Result, run_scenario
from lab.suite import open_cluster
from lab.verdict import Check, Finding, Judgement, Verdict, merge

AUTOMATIC: Final = 300.0
"""Seconds that a rehearsal without a person may take in all."""

PLANNED: Final = "faults fired"
"""The check of plans; a rehearsal has none, and its own "incident happened" asks for more."""

BY_HAND: Final = 3600.0
"""Seconds that a person may take."""


Pick = Callable[[Cluster], Runbook]


def mystery(runbooks: Sequence[Runbook], seed: int) -> Pick:
    """Return what draws, by *seed*, one of the runbooks that a cluster can rehearse; NotCapable if none."""

    def pick(cluster: Cluster) -> Runbook:
        able = [runbook for runbook in runbooks if not runbook.planned and is_able(runbook, cluster)]
        if not able:
            require_able(runbooks[0], cluster)
            raise UsageError(f"'{runbooks[0].name}' is planned work, and no mystery")
        return Random(f"{seed}/mystery").choice(able)

    return pick


async def rehearse(
    runbook: Runbook | Pick,
    *,
    cluster: str | ClusterChoice = "embedded",
    seed: int,
    player: Player = automatic,
    mode: str = "automatic",
    say: Say = lambda _line: None,
    journal: Path | None = None,
) -> Drill:
    """Start a cluster, rehearse *runbook*, or one that is picked for the cluster, on it, and end it.

    Its journal goes to *journal*, or is thrown away.

    Raises NotCapable, naming what is missing, before anything is touched if the cluster cannot do what the runbook
    needs; UsageError for an unknown cluster, EnvironmentProblem if this machine cannot run it.
    """
    async with AsyncExitStack() as stack:
        run, made = open_cluster(cluster, seed)
        stack.callback(run.remove, STOP)
        chosen = runbook if isinstance(runbook, Runbook) else runbook(made)
        require_able(chosen, made)
        stack.push_async_callback(lambda: to_its_end(made.stop(STOP)))
        say("starting the cluster")
        await made.start(made.starts_within)
        kept = journal or run.path / "rehearsal.jsonl"
        return await rehearse_on(made, chosen, seed=seed, journal=kept, player=player, mode=mode, say=say)


async def rehearse_on(
    cluster: Cluster,
    runbook: Runbook,
    *,
    seed: int,
    journal: Path,
    player: Player = automatic,
    mode: str = "automatic",
    say: Say = lambda _line: None,
) -> Drill:
    """Rehearse *runbook* on a started cluster, which is healed however it ends. Raises NotCapable as `rehearse`."""
    require_able(runbook, cluster)
    door, campaign = Door(), bank()
    facts = facts_of(cluster)
    stage = Stage(runbook, facts, seed, say)
    patience = AUTOMATIC if player is automatic else BY_HAND
    needs, also = needed_of(runbook, facts), (_service_level(stage),)
    scenario = rehearsal(runbook.name, door, campaign, patience=patience, needs=needs, also=also)
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")

    async def conduct(live: Live) -> None:
        say(f"{cluster.name}: {cluster.about}")
        await stage.play(live, campaign, door, player)

    result = await run_scenario(
        scenario, cluster, seed=seed, journal=journal, plan=Plan((), seed), observer=_Teller(say), conductor=conduct
    )
    return await asyncio.to_thread(_drill, stage, result, cluster, mode, started)


class _Teller(Nobody):
    """Says only what a person waits for."""

    def __init__(self, say: Say) -> None:
        self._say = say

    def phase(self, name: str) -> None:
        """Hear of a new phase."""
        if name in ("warming up", "waiting for replicas", "recovering"):
            self._say(name)


def _service_level(stage: Stage) -> Check:
    def judge(history: History) -> Judgement:
        found = judge_service(_service(stage, history), stage.runbook.bounds)
        return Judgement(found.verdict, found.why)

    return Check("service level", "the service level during the incident keeps the runbook's bounds", judge)


def _service(stage: Stage, history: History) -> Service:
    """Return the service level from the incident to the recovery, or to the end of the rehearsal."""
    ended = stage.ended or 0.0
    if stage.injected is None:
        return service_during(history, ended, ended)
    recovered = stage.times.recover
    return service_during(history, stage.injected, ended if recovered is None else stage.injected + recovered)


def _drill(stage: Stage, result: Result, cluster: Cluster, mode: str, started: str) -> Drill:
    runbook, injected = stage.runbook, stage.injected
    ended = stage.ended if stage.ended is not None else result.seconds
    findings = tuple(finding for finding in result.findings if finding.check != PLANNED)
    if not stage.findings:
        findings = (Finding("remedy", Verdict.INCONCLUSIVE, "the rehearsal did not come to its end"), *findings)
    return Drill(
        runbook=runbook.name,
        title=runbook.title,
        mode=mode,
        cluster=f"{cluster.name}: {cluster.about}",
        seed=stage.seed,
        started=started,
        verdict=merge(finding.verdict for finding in findings),
        times=stage.times,
        service=_service(stage, result.history),
        bounds=asdict(runbook.bounds),
        findings=findings,
        steps=tuple(stage.steps),
        faults=result.history.faults,
        node=stage.struck_node,
        seconds=round(ended - injected, 3) if injected is not None else 0.0,
        diagnosis=stage.diagnosis,
    )
