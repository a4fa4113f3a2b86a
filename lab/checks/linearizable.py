"""Linearizable compare-and-set registers: each operation seems to take effect at once, between its call and its return.

Registers are judged one by one, as linearizability is compositional (Herlihy and Wing, 1990; used for speed by Horn and
Kroening, "Faster linearizability checking via P-compositionality", 2015). The search is in `_exploring.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from lab.checks._exploring import explore
from lab.checks._register import Codes, Key, NotARegister, identity, pair, transitions
from lab.checks._timeline import lay_out
from lab.checks._unordered import Unordered, explain, spell
from lab.checks._wing_gong import order
from lab.history import History, Json, Operation, Outcome
from lab.verdict import MOST_WITNESSES, Anomaly, Check, Judgement, Verdict, failed, inconclusive, passed

EFFORT = 1_000_000
"""Steps of the search: a few seconds, and some hundred megabytes at most."""


@dataclass(frozen=True, slots=True)
class Linearization:
    """What a search found out about one register, after *steps*.

    Pass: *order* are the operations (indexes) in an order that is legal; an unknown one that is missing had no effect.
    Fail: *unordered* says what cannot be. Inconclusive: the effort ran out.
    """

    verdict: Verdict
    steps: int
    order: tuple[int, ...] = ()
    unordered: Unordered | None = None


def search(operations: Iterable[Operation], initial: Json = None, effort: int = EFFORT) -> Linearization:
    """Search for an order of the *operations* of one register that respects their times and that a register allows.

    Kinds are read (the result is what was read), write (the value) and cas (the value is [old, new]). An ok operation
    took effect between its invocation and completion (at the same time as another's is concurrent with it), a failed
    one did not, and an unknown one did at any time after its invocation, or not at all. The register holds *initial*
    first. *effort* bounds the steps, and so the cached configurations; as many again may be spent on finding out which
    operation is to blame. Raises ValueError for what is no register's operation.
    """
    every, codes = list(operations), Codes()
    asked = {operation.index: operation for operation in every}
    if len(asked) < len(every):
        raise NotARegister("two operations have the same index")
    start = codes(initial)
    found = transitions(every, codes)
    timeline = lay_out(found)
    explored = explore(timeline, start, effort)
    if explored.found is None:
        return Linearization(Verdict.INCONCLUSIVE, explored.steps)
    if explored.found:
        return Linearization(Verdict.PASS, explored.steps, tuple(order(timeline, start, explored.moves)))
    unordered = explain(found, explored.furthest, start, codes.values, asked, effort)
    return Linearization(Verdict.FAIL, explored.steps, unordered=unordered)


def linearizable(*, keyed: bool = False, initial: Json = None, effort: int = EFFORT) -> Check:
    """Every register's operations have an order that respects their times and that a compare-and-set register allows.

    *keyed*: there are many registers, and values and results are [key, that]. Each holds *initial* at first. All are
    judged; *effort* bounds the steps of all searches together, beyond one for each operation.
    """

    def judge(history: History) -> Judgement:
        try:
            registers = _by_key(history.operations) if keyed else {None: (None, list(history.operations))}
            results = _search_all([operations for _, operations in registers.values()], initial, effort)
        except NotARegister as problem:
            return inconclusive(str(problem))
        return _conclude(
            _Results([f"register {spell(key)}: " if keyed else "" for key, _ in registers.values()], results)
        )

    return Check("linearizable", "each register behaves as if operations happened one at a time", judge, pending=True)


@dataclass(frozen=True, slots=True)
class _Results:
    names: Sequence[str]
    results: Sequence[Linearization]

    def of(self, verdict: Verdict) -> list[tuple[str, Linearization]]:
        return [pair for pair in zip(self.names, self.results, strict=True) if pair[1].verdict is verdict]


def _by_key(operations: Iterable[Operation]) -> Mapping[Key, tuple[Json, list[Operation]]]:
    """Return each register's key and operations, without the key in these."""
    registers: dict[Key, tuple[Json, list[Operation]]] = {}
    for operation in operations:
        key, value = pair(operation.value, operation, "the value of a register among many is [key, value]")
        result = operation.result
        if operation.kind == "read" and operation.outcome is Outcome.OK:
            found, result = pair(result, operation, "the result of a read among many registers is [key, value]")
            if identity(found) != identity(key):
                raise NotARegister(
                    f"operation {operation.index}: it asked for {spell(key)} and was told of {spell(found)}"
                )
        own = registers.setdefault(identity(key), (key, []))[1]
        own.append(replace(operation, value=value, result=result))
    return registers


def _search_all(registers: Sequence[list[Operation]], initial: Json, effort: int) -> list[Linearization]:
    """Search each register with an equal share of the effort first, so that a hard one does not hide a bad one."""
    share, left = effort // max(len(registers), 1), effort
    results = []
    for operations in registers:
        results.append(search(operations, initial, len(operations) + share))
        left -= max(results[-1].steps - len(operations), 0)
    for number, operations in enumerate(registers):
        if results[number].verdict is Verdict.INCONCLUSIVE and left > share:
            results[number] = search(operations, initial, len(operations) + left)
            left -= max(results[number].steps - len(operations), 0)
    return results


def _conclude(all_of: _Results) -> Judgement:
    bad, open_ = all_of.of(Verdict.FAIL), all_of.of(Verdict.INCONCLUSIVE)
    total = len(all_of.results)
    if bad:
        anomalies = tuple(
            Anomaly("nonlinearizable", result.unordered.operations, f"{name}{result.unordered.why}")
            for name, result in bad[:MOST_WITNESSES]
            if result.unordered
        )
        many = f"{len(bad):,} of {total:,} registers are not linearizable; " if len(bad) > 1 else ""
        return failed(f"{many}{anomalies[0].why}", anomalies[0].operations, anomalies)
    if open_:
        name, result = open_[0]
        many = f"{len(open_):,} of {total:,} registers undecided; " if total > 1 else ""
        return inconclusive(
            f"{many}{name}no order was found or ruled out in {result.steps:,} steps: give it more effort"
        )
    count = sum(len(result.order) for result in all_of.results)
    return passed(f"{count:,} operations on {total:,} register{'s' if total != 1 else ''} have a legal order")
