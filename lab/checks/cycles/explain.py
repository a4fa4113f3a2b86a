"""Cycles as sentences."""

from __future__ import annotations

from lab.checks.cycles.columns import Transactions
from lab.checks.cycles.edges import KIND_NAMES, PROCESS, REALTIME, RW, WR, WW
from lab.checks.cycles.names import meaning
from lab.checks.cycles.search import Step
from lab.checks.cycles.words import Micro, name_of
from lab.verdict import Anomaly, Dependency

MOST_STEPS = 6
"""Steps of a cycle that its sentence tells; all are in the witness."""


def explain(transactions: Transactions, name: str, steps: list[Step], *, registers: bool) -> Anomaly:
    """Return a cycle as an anomaly that an engineer understands, told from its first transaction on."""
    first = min(range(len(steps)), key=lambda place: steps[place].source)
    steps = steps[first:] + steps[:first]
    cycle = tuple(_dependency(transactions, step, registers) for step in steps)
    told = [
        f"{name_of(transactions, step.source)} comes before {name_of(transactions, step.target)}: {dependency.because}"
        for step, dependency in zip(steps[:MOST_STEPS], cycle, strict=False)
    ]
    more = [f"and so on, {len(steps)} steps in all"] if len(steps) > MOST_STEPS else []
    operations = tuple(dependency.source for dependency in cycle)
    return Anomaly(name, operations, f"{meaning(name)}. {'; '.join([*told, *more])}", cycle)


def _dependency(t: Transactions, step: Step, registers: bool) -> Dependency:
    because = _of_time(t, step) if step.kind in (PROCESS, REALTIME) else _of_data(t, step, registers)
    return Dependency(int(t.index[step.source]), int(t.index[step.target]), KIND_NAMES[step.kind], because)


def _of_time(t: Transactions, step: Step) -> str:
    one, other = name_of(t, step.source), name_of(t, step.target)
    if step.kind == PROCESS:
        return f"process {int(t.process[step.source])} did {one} and then {other}"
    return f"{one} had completed before {other} was invoked"


LIST_SENTENCES = {
    WW: "{write.name}'s append of {write.value} to key {write.key} follows {read.name}'s append of {read.value}",
    WR: "{read.name} read key {read.key} as {read.list}, up to {write.name}'s append of {write.value}",
    RW: "{read.name} read key {read.key} as {read.list}, without {write.name}'s append of {write.value}",
}

REGISTER_SENTENCES = {
    WW: "{write.name} read {read.value} from key {read.key}, which {read.name} wrote, and then wrote {write.value}",
    WR: "{read.name} read {read.got} from key {read.key}, which {write.name} wrote",
    RW: "{read.name} read {read.got} from key {read.key}, before {write.name} wrote {write.value}",
}


IN_TIME = (
    "{read.name} had written {read.value} to key {read.key} before {write.name}, which wrote {write.value}, was invoked"
)


def _of_data(t: Transactions, step: Step, registers: bool) -> str:
    read, write = Micro(t, step.read), Micro(t, step.write)
    sentences = REGISTER_SENTENCES if registers else LIST_SENTENCES
    if registers and step.kind == WW and not _read_before(read, write):
        return IN_TIME.format(read=read, write=write)
    return sentences[step.kind].format(read=read, write=write)


def _read_before(older: Micro, write: Micro) -> bool:
    """Tell whether the transaction of a write had read what *older* wrote."""
    return any(m.told and not m.writes and m.got == older.value for m in write.beside if m.place < write.place)
