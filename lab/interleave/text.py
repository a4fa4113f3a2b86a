"""Schedules as people write them: ``T1: r1; T2: w1=11, c; T1: c``.

| text | statement |
|---|---|
| r1, r*, r[value=30], r[value%3=0] | read the row with id 1, all rows, those where it holds; p3 is short for the last |
| w1=11, w*=0, w[value=10]=12 | set the selected rows; with += the number is added to what they hold |
| d1, d*, d[value=20] | delete the selected rows |
| i3=30 | insert the row (3, 30) |
| c, a | commit, abort |
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from lab.errors import UsageError
from lab.interleave.steps import Action, Delete, End, Insert, Read, Row, Schedule, Selection, Step, Write

INITIAL: Final = ((1, 10), (2, 20))
"""What the table holds before a schedule that does not say otherwise: the rows of Hermitage."""

LARGEST: Final = 2**31 - 1
"""The largest number that a column holds."""

_ROWS = r"(?P<rows>\d+|\*|\[value=-?\d+\]|\[value%[1-9]\d*=0\])"
_READ = re.compile(f"r{_ROWS}")
_WRITE = re.compile(rf"w{_ROWS}(?P<how>\+?=)(?P<value>-?\d+)")
_DELETE = re.compile(f"d{_ROWS}")
_INSERT = re.compile(r"i(?P<id>\d+)=(?P<value>-?\d+)")
_SHORT = re.compile(r"p(?P<number>[1-9]\d*)")
_TURN = re.compile(r"T(?P<transaction>[1-9]\d*)\s*:(?P<actions>.*)", re.DOTALL)

_KNOWN = "write r1, r*, r[value=30], p3, w1=11, w1+=5, w[value=10]=12, d1, d[value=20], i3=30, c or a"


def parse_schedule(text: str, initial: tuple[Row, ...] = INITIAL) -> Schedule:
    """Return the steps that *text* spells; turns are divided by semicolons, actions of a turn by commas.

    Raises UsageError with one line that names the step: for what cannot be read, for steps after a transaction's end,
    and for a transaction that has no end.
    """
    steps: list[Step] = []
    ended: set[int] = set()
    for transaction, word in _words(text):
        place = f"step {len(steps) + 1} 'T{transaction}: {word}'"
        if transaction in ended:
            raise UsageError(f"{place}: T{transaction} has ended before; give it another number")
        action = _action(word, place)
        if isinstance(action, End):
            ended.add(transaction)
        steps.append(Step(transaction, action, word))
    if not steps:
        raise UsageError("a schedule has steps: T1: r1; T1: c")
    for step in steps:
        if step.transaction not in ended:
            raise UsageError(f"T{step.transaction} has no end: add T{step.transaction}: c, or a to abort it")
    return Schedule(tuple(steps), initial)


def _words(text: str) -> Iterator[tuple[int, str]]:
    for number, turn in enumerate(filter(None, (turn.strip() for turn in text.split(";"))), 1):
        found = _TURN.fullmatch(turn)
        if found is None:
            raise UsageError(f"turn {number} '{' '.join(turn.split())}': it begins with a transaction, as in T1: r1")
        for word in found["actions"].split(","):
            yield int(found["transaction"]), "".join(word.split())


def _action(word: str, place: str) -> Action:
    if any(int(number) > LARGEST for number in re.findall(r"\d+", word)):
        raise UsageError(f"{place}: a number is larger than {LARGEST}")
    if word in ("c", "a"):
        return End(word)
    if found := _READ.fullmatch(word):
        return Read(_selection(found["rows"]))
    if found := _SHORT.fullmatch(word):
        return Read(Selection("multiple", int(found["number"])))
    if found := _WRITE.fullmatch(word):
        return Write(_selection(found["rows"]), int(found["value"]), added=found["how"] == "+=")
    if found := _DELETE.fullmatch(word):
        return Delete(_selection(found["rows"]))
    if found := _INSERT.fullmatch(word):
        return Insert((int(found["id"]), int(found["value"])))
    raise UsageError(f"{place}: no such action; {_KNOWN}")


def _selection(text: str) -> Selection:
    if text == "*":
        return Selection("all")
    if text.isdecimal():
        return Selection("id", int(text))
    inner = text.removeprefix("[value").removesuffix("]")
    if inner.startswith("%"):
        return Selection("multiple", int(inner[1:].removesuffix("=0")))
    return Selection("value", int(inner[1:]))
