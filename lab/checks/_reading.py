"""What the checks of collections share: independent keys, values that can be compared, and words for them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from lab.history import History, Json, Operation, Outcome
from lab.verdict import MOST_WITNESSES, Anomaly, Judgement, failed, inconclusive, passed

LONGEST_VALUE = 60
"""Characters of a value that a sentence shows."""

PLAIN = {int, str}
"""Types of values that are what they are compared by."""


@dataclass(frozen=True, slots=True)
class Part:
    """The writes and ok reads of one independent key, or of all the history; *where* says which in sentences.

    Writes come with what was written, reads with the list they answered; both in order of invocation.
    """

    where: str
    writes: list[tuple[Operation, Json]] = field(default_factory=list)
    reads: list[tuple[Operation, list[Json]]] = field(default_factory=list)


def parts(
    history: History,
    kind: str,
    *,
    keyed: bool | None = None,
    written: Callable[[Operation], Json] = lambda operation: operation.value,
) -> tuple[list[Part], int]:
    """Split writes of a *kind* and ok reads by independent key; also return how many could not be read.

    Keyed, a write is of [key, what] and a read answers [key, list], or the bare list if [key, null] was asked for.
    Where *keyed* is None, a history is keyed if all its writes and all the answers of its reads have that form.
    """
    writes = [(operation, written(operation)) for operation in history.of_kind(kind)]
    reads = [operation for operation in history.of_kind("read") if operation.outcome is Outcome.OK]
    if _keyed(writes, reads) if keyed is None else keyed:
        return _by_key(writes, reads)
    readable = [(operation, operation.result) for operation in reads if isinstance(operation.result, list)]
    return [Part("", writes, readable)], len(reads) - len(readable)


def _keyed(writes: list[tuple[Operation, Json]], reads: list[Operation]) -> bool:
    pairs = [_pair(value) for _, value in writes]
    keys = {identity(pair[0]) for pair in pairs if pair is not None}
    answers = [_pair(read.result) for read in reads]
    if None in pairs or not pairs or not answers:
        return False
    return all(pair is not None and isinstance(pair[1], list) and identity(pair[0]) in keys for pair in answers)


def _pair(value: Json) -> tuple[Json, Json] | None:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[0], int | str):
        return value[0], value[1]
    return None


def _by_key(writes: list[tuple[Operation, Json]], reads: list[Operation]) -> tuple[list[Part], int]:
    found: dict[Hashable, Part] = {}
    unreadable = 0

    def part(key: Json) -> Part:
        same = identity(key)
        if same not in found:
            found[same] = Part(f"key {shown(same)}: ")
        return found[same]

    for operation, value in writes:
        pair = _pair(value)
        if pair is None:
            unreadable += 1
        else:
            part(pair[0]).writes.append((operation, pair[1]))
    for read in reads:
        key, answer = _keyed_answer(read)
        if isinstance(answer, list):
            part(key).reads.append((read, answer))
        else:
            unreadable += 1
    return list(found.values()) or [Part("")], unreadable


def _keyed_answer(read: Operation) -> tuple[Json, Json]:
    told, asked = _pair(read.result), _pair(read.value)
    if told is not None and isinstance(told[1], list):
        return told
    return (None, None) if asked is None else (asked[0], read.result)


def identity(value: Json) -> Hashable:
    """Return something hashable that is equal for equal JSON values only; true is not 1."""
    if type(value) in PLAIN:
        return value  # type: ignore[return-value]
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, *map(identity, value))
    if isinstance(value, dict):
        return (dict, frozenset((name, identity(inner)) for name, inner in value.items()))
    return value


def identities(values: list[Json]) -> list[Hashable]:
    """Return the identity of each value; quick where all are whole numbers or texts."""
    if set(map(type, values)) <= PLAIN:
        return values  # type: ignore[return-value]
    return list(map(identity, values))


def shown(value: Hashable) -> str:
    """Return an identity as JSON, cut where it is long."""
    text = msgspec.json.encode(_json(value)).decode()
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _json(value: Hashable) -> Json:
    if not isinstance(value, tuple):
        return value  # type: ignore[return-value]
    kind, *inner = value
    if kind is list:
        return [_json(one) for one in inner]
    if kind is dict:
        return {name: _json(one) for name, one in inner[0]}
    return bool(inner[0])


@dataclass(slots=True)
class Tally:
    """Anomalies by name: how many there are, and the first few as witnesses."""

    counts: dict[str, int] = field(default_factory=dict)
    anomalies: list[Anomaly] = field(default_factory=list)

    def add(self, name: str, count: int, witnesses: Iterable[Anomaly]) -> None:
        """Count anomalies of a *name*, of which the first are kept: *witnesses* is read no further than needed."""
        if count:
            kept = sum(anomaly.name == name for anomaly in self.anomalies)
            self.counts[name] = self.counts.get(name, 0) + count
            self.anomalies += itertools.islice(witnesses, max(MOST_WITNESSES - kept, 0))

    def judgement(
        self, says: str, doubts: Iterable[str] = (), allowed: frozenset[str] = frozenset(), note: str = ""
    ) -> Judgement:
        """Fail on what is not *allowed*, with a *note*; else say the first of the *doubts*; else pass with *says*."""
        wrong = [anomaly for anomaly in self.anomalies if anomaly.name not in allowed]
        if wrong:
            counted = "; ".join(f"{count:,} {name}" for name, count in self.counts.items() if name not in allowed)
            operations = sorted({index for anomaly in wrong for index in anomaly.operations})
            return failed(f"{counted}: {wrong[0].why}{note}", operations, tuple(wrong))
        for doubt in doubts:
            return inconclusive(doubt)
        return passed(says, tuple(self.anomalies))


def unread(count: int) -> Iterator[str]:
    """Yield the doubt that some operations could not be read, if there are any."""
    if count:
        yield f"{count:,} operations do not have the form of this workload, so what they saw is not known"
