"""A set keeps what was added: the last reads hold every acknowledged element, each once, and nothing else."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field

from lab.checks._reading import Part, Tally, identities, identity, parts, shown, unread
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement


def set_kept(*, keyed: bool | None = None) -> Check:
    """The last read holds all that was acknowledged, nothing that failed or was never asked for, and nothing twice.

    An add of unknown outcome may be there (it is recovered then) or not. Source: Jepsen's `set` checker, with the
    revived and repeated elements of its CockroachDB tests. As there the last ok read is judged, and with it those that
    overlap it; adds that had not ended when it began are not held against it, but leave doubt if it misses them.
    *keyed*: see `lab.checks._reading.parts`.
    """

    def judge(history: History) -> Judgement:
        tally, doubts, found = Tally(), list[str](), Counter[str]()
        split, unreadable = parts(history, "add", keyed=keyed)
        for part in split:
            audit = audited(part)
            audit.report(part.where, tally)
            doubts += audit.doubts(part.where)
            found.update(kept=audit.kept, recovered=len(audit.recovered))
        says = f"{found['kept']:,} acknowledged elements are there, and {found['recovered']:,} of unknown outcome"
        return tally.judgement(says, [*doubts, *unread(unreadable)])

    return Check("set", "what was added is kept, once, and nothing else is there", judge)


@dataclass(slots=True)
class Audit:
    """Elements of one part by what became of them, each with the operations that show it."""

    kept: int = 0
    final: bool = True
    seen: bool = False
    lost: dict[Hashable, tuple[Operation, Operation]] = field(default_factory=dict)
    late: dict[Hashable, Operation] = field(default_factory=dict)
    revived: dict[Hashable, tuple[Operation, Operation]] = field(default_factory=dict)
    recovered: dict[Hashable, Operation] = field(default_factory=dict)
    unexpected: dict[Hashable, Operation] = field(default_factory=dict)
    duplicate: dict[Hashable, tuple[Operation, int]] = field(default_factory=dict)

    def report(self, where: str, tally: Tally) -> None:
        """Add what is wrong to a tally."""
        tally.add("lost", len(self.lost), self._lost(where))
        tally.add("revived", len(self.revived), self._revived(where))
        tally.add("unexpected", len(self.unexpected), self._unexpected(where))
        tally.add("duplicate", len(self.duplicate), duplicates(where, self.duplicate))

    def _lost(self, where: str) -> Iterator[Anomaly]:
        for element, (add, read) in self.lost.items():
            why = f"operation {add.index} was told that it is added, operation {read.index} began later and misses it"
            yield Anomaly("lost", (add.index, read.index), f"{where}{shown(element)} is lost: {why}")

    def _revived(self, where: str) -> Iterator[Anomaly]:
        for element, (add, read) in self.revived.items():
            yield revival(where, element, add, read)

    def _unexpected(self, where: str) -> Iterator[Anomaly]:
        for element, read in self.unexpected.items():
            why = f"{where}operation {read.index} sees {shown(element)}, which nobody asked to add"
            yield Anomaly("unexpected", (read.index,), why)

    def doubts(self, where: str) -> Iterator[str]:
        """Yield why nothing can be said, if so."""
        if not self.final:
            yield f"{where}no read answered what the set holds"
        if self.late:
            add = next(iter(self.late.values()))
            why = f"the last read began before {len(self.late):,} adds had ended, the first is operation {add.index}"
            yield f"{where}{why}: it need not see what they added"
        if self.final and not self.kept and not self.seen:
            yield f"{where}no add was acknowledged, and no element was seen"


def revival(where: str, element: Hashable, add: Operation, read: Operation) -> Anomaly:
    """Return the anomaly of an element that *read* sees though its *add* failed."""
    why = f"{where}operation {add.index} was told that adding {shown(element)} failed, operation {read.index} sees it"
    return Anomaly("revived", (add.index, read.index), why)


def duplicates(where: str, found: dict[Hashable, tuple[Operation, int]]) -> Iterator[Anomaly]:
    """Yield an anomaly for each element that a read holds several times."""
    for element, (read, times) in found.items():
        why = f"{where}operation {read.index} sees {shown(element)} {times} times"
        yield Anomaly("duplicate", (read.index,), why)


@dataclass(frozen=True, slots=True)
class Attempts:
    """The add that stands for each element: acknowledged, else of unknown outcome, else failed."""

    ok: dict[Hashable, Operation]
    info: dict[Hashable, Operation]
    fail: dict[Hashable, Operation]


def attempts(part: Part) -> Attempts:
    """Sort the elements of a part by the best outcome of their adds; of several ok ones the first to end counts."""
    by_outcome: dict[Outcome, dict[Hashable, Operation]] = {outcome: {} for outcome in Outcome}
    for add, value in part.writes:
        element, same = identity(value), by_outcome[add.outcome]
        if element not in same or ended(add) < ended(same[element]):
            same[element] = add
    ok, info, fail = (by_outcome[outcome] for outcome in (Outcome.OK, Outcome.INFO, Outcome.FAIL))
    info = {element: add for element, add in info.items() if element not in ok}
    fail = {element: add for element, add in fail.items() if element not in ok and element not in info}
    return Attempts(ok, info, fail)


def ended(operation: Operation) -> float:
    """Return when an operation came back; infinity if it never did."""
    return math.inf if operation.completed is None else operation.completed


def repeated(elements: list[Hashable], distinct: set[Hashable]) -> dict[Hashable, int]:
    """Return the elements that are there more than once, and how often."""
    if len(elements) == len(distinct):
        return {}
    return {element: times for element, times in Counter(elements).items() if times > 1}


def audited(part: Part) -> Audit:
    """Compare the adds of a part with its final reads, in time linear in their size."""
    audit, adds = Audit(), attempts(part)
    finals = _finals(part)
    audit.final = bool(finals)
    for read, values in finals:
        elements = identities(values)
        present = set(elements)
        audit.seen = audit.seen or bool(present)
        for element, times in repeated(elements, present).items():
            audit.duplicate.setdefault(element, (read, times))
        for element in adds.ok.keys() - present:
            if ended(adds.ok[element]) < read.invoked:
                audit.lost.setdefault(element, (adds.ok[element], read))
            else:
                audit.late.setdefault(element, adds.ok[element])
        _sort_extra(audit, adds, read, present.difference(adds.ok))
    audit.kept = len(adds.ok) - len(audit.lost) - len(audit.late) if finals else 0
    audit.lost = dict(sorted(audit.lost.items(), key=lambda item: item[1][0].index))
    return audit


def _sort_extra(audit: Audit, adds: Attempts, read: Operation, extra: set[Hashable]) -> None:
    for element in extra:
        if element in adds.info:
            audit.recovered.setdefault(element, adds.info[element])
        elif element in adds.fail:
            audit.revived.setdefault(element, (adds.fail[element], read))
        else:
            audit.unexpected.setdefault(element, read)


def _finals(part: Part) -> list[tuple[Operation, list[Json]]]:
    newest = max((read.invoked for read, _ in part.reads), default=math.inf)
    return [(read, values) for read, values in part.reads if ended(read) >= newest]
