"""One oracle for every schedule: what committed could have happened one transaction after the other.

That is final-state and view serializability together: some order of the committed transactions, run one by one on the
model of the table, gives every statement the answer that its client got, and the table the rows that it holds in the
end. What aborted transactions read does not count.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from lab.interleave.model import Answer, Refused, execute
from lab.interleave.outcome import Outcome
from lab.interleave.steps import End, Insert, Read, Row, Statement
from lab.verdict import Verdict

MOST_TRANSACTIONS = 6
"""Committed transactions of which every order is tried (720 of them)."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """PASS with the serial *order* that explains the outcome; FAIL with what contradicts each order; or INCONCLUSIVE.

    *why* is a sentence; *contradictions* has one for each serial order, the order that gets furthest first.
    """

    verdict: Verdict
    why: str
    order: tuple[int, ...] = ()
    contradictions: tuple[str, ...] = ()


def explain(outcome: Outcome) -> Explanation:
    """Look for a serial order of the committed transactions that explains what they were told, and the final rows.

    INCONCLUSIVE if there are more than MOST_TRANSACTIONS, or none.
    """
    committed = outcome.committed
    if not committed:
        return Explanation(Verdict.INCONCLUSIVE, "no transaction committed")
    if len(committed) > MOST_TRANSACTIONS:
        why = f"{len(committed)} transactions committed; the orders of {MOST_TRANSACTIONS} at most are tried"
        return Explanation(Verdict.INCONCLUSIVE, why)
    refuted: list[tuple[int, str]] = []
    for order in itertools.permutations(committed):
        explained, problem = _replay(outcome, order)
        if problem is None:
            return Explanation(Verdict.PASS, f"explained by the order {_names(order)}", order)
        refuted.append((explained, f"as {_names(order)}: {problem}"))
    refuted.sort(key=lambda one: -one[0])
    contradictions = tuple(sentence for _, sentence in refuted)
    return Explanation(Verdict.FAIL, f"no serial order explains it; {contradictions[0]}", (), contradictions)


def _replay(outcome: Outcome, order: tuple[int, ...]) -> tuple[int, str | None]:
    """Return how many answers the serial *order* explains, and the first that it does not; None if all is explained."""
    state = dict(outcome.schedule.initial)
    explained = 0
    for number in order:
        for seen in outcome.of(number):
            if isinstance(seen.step.action, End):
                continue
            try:
                state, answer = execute(state, seen.step.action)
            except Refused:
                return explained, f"{seen.step} finds a row of that id, and succeeded"
            if answer != seen.answer:
                return explained, _differs(str(seen.step), seen.step.action, answer, seen.answer)
            explained += 1
    final = tuple(sorted(state.items()))
    if final != outcome.final:
        return explained, f"the table ends as {_rows(final)}, and was found as {_rows(outcome.final)}"
    return explained, None


def _differs(step: str, statement: Statement, expected: Answer, answer: Answer | None) -> str:
    if isinstance(statement, Read) and isinstance(expected, tuple) and isinstance(answer, tuple):
        return f"{step} reads {_rows(expected)}, and was told {_rows(answer)}"
    verb = "inserts" if isinstance(statement, Insert) else "changes"
    return f"{step} {verb} {expected} rows, and was told {answer}"


def _rows(rows: tuple[Row, ...]) -> str:
    return ", ".join(f"{number}={value}" for number, value in rows) or "nothing"


def _names(order: tuple[int, ...]) -> str:
    return ", ".join(f"T{number}" for number in order)
