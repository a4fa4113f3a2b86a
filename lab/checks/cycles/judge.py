"""Is there an order of all transactions that explains what each of them read? The verdict on lists and registers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TypeAlias

from lab.checks.cycles.append_anomalies import AppendAnomalies
from lab.checks.cycles.appends import NotUnique, TooMany, append_edges, appends_of
from lab.checks.cycles.columns import OK, Transactions
from lab.checks.cycles.edges import Edges
from lab.checks.cycles.explain import explain
from lab.checks.cycles.names import EFFORT, FORBIDDEN, Level, Lists, meaning
from lab.checks.cycles.paths import Effort
from lab.checks.cycles.registers import RegisterAnomalies, register_edges, registers_of
from lab.checks.cycles.search import UNSEARCHED_ORDER, cycles
from lab.verdict import Anomaly, Judgement, failed, inconclusive, passed

Looking: TypeAlias = AppendAnomalies | RegisterAnomalies

MOST_TOLD = 3
"""Cycles of one name that are told."""

MOST_NAMED = 3


def judge_transactions(
    transactions: Transactions,
    workload: Lists,
    *,
    level: Level = "serializable",
    realtime: bool = False,
    effort: int = EFFORT,
) -> Judgement:
    """Judge transactions that are in columns already; see `serializable`."""
    if not (transactions.outcome == OK).any():
        return inconclusive("no transaction is certainly done")
    if not transactions.known.any():
        return inconclusive("nothing that was read is on record")
    strict = level == "strict-serializable"
    looks = _Looks(
        process=realtime or strict or level == "strong-session-serializable",
        realtime=realtime or strict,
        versions_in_time=strict,
        effort=effort,
    )
    try:
        seen = _look(transactions, workload, looks)
    except NotUnique as error:
        return inconclusive(f"{error}: whose value is read there is not known")
    except (TooMany, MemoryError) as error:
        return inconclusive(f"too much for the memory that is granted: {error}")
    return seen.judgement(level, len(transactions), registers=workload == "rw-register")


@dataclass(frozen=True, slots=True)
class _Looks:
    """What to look at beside the data: the order of processes, of real time, and of versions by it; and how much."""

    process: bool
    realtime: bool
    versions_in_time: bool
    effort: int


@dataclass
class _Seen:
    """What was found: how many of each name, some of them told, and what could not be looked at."""

    counts: Counter[str] = field(default_factory=Counter)
    told: list[Anomaly] = field(default_factory=list)
    invented: list[str] = field(default_factory=list)
    unsearched: set[str] = field(default_factory=set)

    def note(self, looking: Looking) -> None:
        """Note what is wrong without a cycle."""
        for name, count, told in looking.found(MOST_TOLD):
            self.counts[name] += count
            self.told += told
        self.invented = looking.invented()

    def add(self, anomaly: Anomaly) -> None:
        self.counts[anomaly.name] += 1
        if self.counts[anomaly.name] <= MOST_TOLD:
            self.told.append(anomaly)

    def judgement(self, level: Level, transactions: int, *, registers: bool) -> Judgement:
        forbidden = FORBIDDEN[level]
        bad = [anomaly for anomaly in self.told if anomaly.name in forbidden]
        others = tuple(anomaly for anomaly in self.told if anomaly.name not in forbidden)
        if bad:
            shown = tuple(sorted(bad, key=lambda a: (len(a.operations), a.name)))
            operations = dict.fromkeys(index for anomaly in shown for index in anomaly.operations)
            return failed(self._complaint(level, shown[0]), operations, (*shown, *others))
        missed = self.unsearched if "G0-process" in forbidden else self.unsearched - {UNSEARCHED_ORDER}
        if missed:
            return inconclusive("not all circles of transactions could be looked at within the effort that is granted")
        if self.invented and not registers:
            return inconclusive(f"values that no operation on record has written: {self._some_invented()}")
        notes = [f"allowed at this level: {self._counted(others)}"] if others else []
        notes += ["not all circles of real time were looked at"] if self.unsearched else []
        notes += [f"not on record as written: {self._some_invented()}"] if self.invented else []
        return passed("; ".join([f"{transactions:,} transactions are {level.replace('-', ' ')}", *notes]), others)

    def _complaint(self, level: Level, first: Anomaly) -> str:
        forbidden = [a for a in self.told if a.name in FORBIDDEN[level]]
        said = first.why if first.cycle else f"{meaning(first.name)}. {first.why}"
        return f"not {level.replace('-', ' ')}: {self._counted(forbidden)}. {first.name}, {said}"

    def _counted(self, anomalies: list[Anomaly] | tuple[Anomaly, ...]) -> str:
        names = dict.fromkeys(anomaly.name for anomaly in anomalies)
        return ", ".join(f"{self.counts[name]} x {name}" for name in names)

    def _some_invented(self) -> str:
        more = f" and {len(self.invented) - MOST_NAMED} more" if len(self.invented) > MOST_NAMED else ""
        return "; ".join(self.invented[:MOST_NAMED]) + more


def _look(transactions: Transactions, workload: Lists, looks: _Looks) -> _Seen:
    seen = _Seen()
    registers = workload == "rw-register"
    looking: Looking
    if registers:
        looking, data = _registers(transactions, looks.versions_in_time)
    else:
        looking, data = _lists(transactions)
    seen.note(looking)
    del looking  # a million transactions need the memory
    found = cycles(transactions, data, Effort(looks.effort), process=looks.process, realtime=looks.realtime)
    for name, steps in found:
        if steps:
            seen.add(explain(transactions, name, steps, registers=registers))
        else:
            seen.unsearched.add(name)
    return seen


def _lists(transactions: Transactions) -> tuple[AppendAnomalies, Edges]:
    appends = appends_of(transactions)
    return AppendAnomalies(appends), append_edges(appends)


def _registers(transactions: Transactions, strict: bool) -> tuple[RegisterAnomalies, Edges]:
    registers = registers_of(transactions)
    return RegisterAnomalies(registers), register_edges(registers, realtime=strict)
