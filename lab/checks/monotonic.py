"""Values that grow by reading the largest and adding one: their order is that of the database's own timestamps."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from lab.checks._reading import Part, Tally, parts, unread
from lab.checks.set_kept import audited
from lab.history import History, Json, Operation, Outcome
from lab.verdict import Anomaly, Check, Judgement

Stamp: TypeAlias = int | Decimal


class Row(NamedTuple):
    """A row by the timestamp of the transaction that inserted it, then its value."""

    stamp: Stamp
    value: int


def monotonic(*, keyed: bool | None = None) -> Check:
    """In every ok read, rows in order of their timestamp *sts* have growing *val*; none is lost, revived or repeated.

    A read answers a list of rows, objects with a whole "val" and "sts", a number or a text of one. An acknowledged add
    answers its row; what others wanted to insert is known only if they say it. Rows of equal timestamp contradict
    nothing. Source: the checker of `jepsen.cockroach.monotonic`, which looks at the last read only; losses are judged
    as by `set_kept`. O(n log n) in the size of the reads. *keyed*: see `lab.checks._reading.parts`.
    """

    def judge(history: History) -> Judgement:
        tally, doubts, rows = Tally(), list[str](), 0
        split, unreadable = parts(history, "add", keyed=keyed, written=_written)
        for part in split:
            values, unordered = _values(part, tally)
            unreadable += unordered
            audit = audited(values)
            audit.unexpected.clear()  # the value of an add of unknown outcome was never told
            audit.report(part.where, tally)
            doubts += audit.doubts(part.where)
            rows += max((len(found) for _, found in values.reads), default=0)
        says = f"{rows:,} rows are in the order of their timestamps"
        return tally.judgement(says, [*doubts, *unread(unreadable)])

    return Check("monotonic", "values are in the order of the database's timestamps", judge)


def _written(add: Operation) -> Json:
    told, asked = add.result, add.value
    return told if _value(told) is not None else asked


def _value(json: Json) -> int | None:
    if isinstance(json, list) and len(json) == 2:  # [key, row]
        json = json[1]
    value = json.get("val") if isinstance(json, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _values(part: Part, tally: Tally) -> tuple[Part, int]:
    """Judge the order of each read, and return the part with values only, and how many reads could not be read."""
    known = [(add, _value(written)) for add, written in part.writes]
    values = Part(part.where, [(add, value) for add, value in known if value is not None])
    adders: dict[int, Operation] = {
        value: add for add, value in known if value is not None and add.outcome is Outcome.OK
    }
    reported: set[tuple[Row, Row]] = set()
    unreadable = 0
    for read, answer in part.reads:
        rows = _rows(answer)
        if rows is None:
            unreadable += 1
            continue
        rows.sort()
        values.reads.append((read, [row.value for row in rows]))
        wrong = [(row, after) for row, after in pairwise(rows) if after.value < row.value]
        fresh = [pair for pair in wrong if pair not in reported]
        reported.update(fresh)
        tally.add("non-monotonic", len(fresh), _inversions(part.where, read, fresh, adders))
    return values, unreadable


def _rows(answer: list[Json]) -> list[Row] | None:
    rows = []
    for json in answer:
        stamp, value = (_stamp(json.get("sts")), _value(json)) if isinstance(json, dict) else (None, None)
        if stamp is None or value is None:
            return None
        rows.append(Row(stamp, value))
    return rows


def _stamp(value: Json) -> Stamp | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if not isinstance(value, str | float):
        return None
    try:
        stamp = Decimal(value)
    except InvalidOperation:
        return None
    return stamp if stamp.is_finite() else None


def _inversions(
    where: str, read: Operation, pairs: list[tuple[Row, Row]], adders: dict[int, Operation]
) -> Iterator[Anomaly]:
    for row, after in pairs:
        adds = [adders[one.value].index for one in (row, after) if one.value in adders]
        by = f" (added by operations {' and '.join(map(str, adds))})" if len(adds) > 1 else ""
        order = f"{row.value} with timestamp {row.stamp}, and {after.value} with the later {after.stamp}"
        yield Anomaly("non-monotonic", (*adds, read.index), f"{where}operation {read.index} sees {order}{by}")
