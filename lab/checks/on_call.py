"""The invariant that write skew breaks: every shift has a doctor on call."""

from __future__ import annotations

from lab.history import History, Json, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed


def somebody_on_call(*, shifts: int) -> Check:
    """Every ok read sees all *shifts*, each with a list of doctors on call that is not empty: {"shift": [number]}."""

    def judge(history: History) -> Judgement:
        reads = [operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK]
        problems = {o.index: problem for o in reads if (problem := _problem(o.result, shifts))}
        if problems:
            index, problem = next(iter(problems.items()))
            return failed(f"operation {index}: {problem}", problems)
        if not reads:
            return inconclusive("no snapshot was read")
        if not any(operation.result == "leaves" for operation in history.of_kind("leave")):
            return inconclusive("nobody went off call")
        return passed(f"somebody on call for each of {shifts} shifts in {len(reads):,} snapshots")

    return Check("somebody on call", f"each of {shifts} shifts has a doctor on call in every snapshot", judge)


def _problem(state: Json, shifts: int) -> str | None:
    if not isinstance(state, dict) or len(state) != shifts:
        return f"not {shifts} shifts, but {state!r:.200}"
    empty = [shift for shift, doctors in state.items() if not isinstance(doctors, list) or not doctors]
    return f"nobody is on call for shift {empty[0]}" if empty else None
