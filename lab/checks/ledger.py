"""What the policy said against what the database holds, for every unit of work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from lab.history import History, Operation, Outcome
from lab.verdict import Check, Judgement, failed, inconclusive, passed

LEDGER: dict[tuple[Outcome, int], str] = {
    (Outcome.OK, 0): "lost",
    (Outcome.OK, 1): "right",
    (Outcome.OK, 2): "duplicate",
    (Outcome.FAIL, 0): "right",
    (Outcome.FAIL, 1): "phantom",
    (Outcome.FAIL, 2): "duplicate",
    (Outcome.INFO, 0): "honest",
    (Outcome.INFO, 1): "honest",
    (Outcome.INFO, 2): "duplicate",
}
"""(what was said, effects found; 2 is two or more) -> the entry of the ledger."""

WRONG = {
    "lost": "reported done, yet not in the database",
    "duplicate": "in the database more than once",
    "phantom": "reported failed, yet in the database",
}


def entry(operation: Operation, effects: int) -> str:
    """Return the ledger's word for an operation whose effect was found *effects* times (0 or more)."""
    return LEDGER[operation.outcome, min(effects, 2)]


def cells_of(writes: Iterable[Operation], effects: Mapping[str, int]) -> Counter[tuple[Outcome, int]]:
    """Return how many *writes* are in each cell of the ledger: what was said, and effects found (2: two or more)."""
    cells = Counter[tuple[Outcome, int]]()
    for (outcome, times), count in Counter([(o.outcome, effects.get(o.unit or "", 0)) for o in writes]).items():
        cells[outcome, min(times, 2)] += count
    return cells


def exactly_once() -> Check:
    """Nothing reported done is lost, nothing is applied twice, nothing reported failed was applied."""
    return Check("exactly once", "what was reported is what the database holds, once", _judge)


def _judge(history: History) -> Judgement:
    if history.final is None:
        return inconclusive("the effects were never read back")
    writes, effects = history.writes, history.final.effects
    unknown_units = effects.keys() - {operation.unit for operation in writes}
    if unknown_units:
        return failed(f"effects of units that nobody asked for: {', '.join(sorted(unknown_units)[:5])}")
    cells = cells_of(writes, effects)
    counts = Counter[str]()
    for cell, count in cells.items():
        counts[LEDGER[cell]] += count
    wrong = {word: counts[word] for word in WRONG if counts[word]}
    if wrong:
        why = "; ".join(f"{count} {word} ({WRONG[word]})" for word, count in wrong.items())
        return failed(why, (o.index for o in writes if entry(o, effects.get(o.unit or "", 0)) in WRONG))
    if not counts["right"]:
        return inconclusive("no write has a known outcome")
    found = cells[Outcome.INFO, 1]
    told = f" ({found} of them found, {counts['honest'] - found} not)" if counts["honest"] else ""
    return passed(f"{counts['right']:,} units right, {counts['honest']} reported as unknown{told}")
