"""What every rehearsal of a runbook is judged by, so that its journal can be judged again without the runbook."""

from __future__ import annotations

from typing import Final

from lab.checks import answers
from lab.history import History
from lab.retry import RetryPolicy
from lab.scenario import Scenario
from lab.verdict import Check, Judgement, inconclusive, passed
from lab.workloads.bank import Bank

PREFIX: Final = "rehearse-"
"""What the names of rehearsals begin with, before that of the runbook."""

BANK: Final = Bank(accounts=16)
"""Accounts enough that transfers seldom meet."""


def struck() -> Check:
    """The incident happened: something that was injected left evidence."""

    def judge(history: History) -> Judgement:
        fired = [span.fault for span in history.faults if span.fired]
        if not fired:
            return inconclusive("nothing that was injected left evidence that it did something")
        return passed(f"it did: {', '.join(fired)}")

    return Check("incident happened", "what was injected left evidence", judge)


def rehearsed(runbook: str) -> Scenario:
    """Return the scenario of a rehearsal of *runbook*, as far as its history is judged by it."""
    return Scenario(
        name=f"{PREFIX}{runbook}",
        title=f"rehearsal of the runbook {runbook}",
        workload=BANK,
        policy=RetryPolicy(),
        expect=(struck(), answers(within=60.0)),
    )


def is_rehearsal(scenario: str) -> bool:
    """Tell whether a scenario of this name was a rehearsal."""
    return scenario.startswith(PREFIX)
