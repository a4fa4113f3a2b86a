"""Events of Jepsen's histories, and how an invocation and its completion become one operation.

The order of the events in the file is all the time that there is: an event's position (0, 1, 2, ...) is its moment.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from typing import TypeAlias

import msgspec

from lab.history import Json, Operation, Outcome

Event: TypeAlias = tuple[int, Json, Json, Json, Json, Json]
"""One event as it was found: its line, type, process, f, value and error."""

TRANSACTION = "txn"
"""What an operation without :f is: Elle's histories leave it out."""

FIELDS = ("type", "process", "f", "value", "error", "exception")
"""The keys of an event that mean something here, in the order of `Event`."""

OTHERS = frozenset(
    {"index", "time", "node", "duration", "clock", "clock-offsets", "link", "debug", "final?", "context"}
    | {"op-index", "op_index", "op-timeout"}
)
"""The keys of an event that other tools write, and that are of no interest here."""

LONGEST_ERROR = 200
"""Characters that are kept of an error: an exception comes with its whole trace."""


class Problem(ValueError):
    """What is wrong in a *line* (1-based) of a file; whoever knows the file's name raises MalformedFile from it."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(problem)
        self.line = line
        self.problem = problem


def event_of(line: int, fields: dict[str, Json]) -> Event:
    """Return the event that a map describes; raise Problem for a key that none has."""
    process = fields.get("process")
    if (unknown := unknown_key(fields)) is not None and (process is None or type(process) is int):
        raise Problem(line, unknown)
    error = fields.get("error", fields.get("exception"))
    return line, fields.get("type"), process, fields.get("f"), fields.get("value"), error


def unknown_key(keys: Iterable[str]) -> str | None:
    """Return what is wrong with the keys of an event, which is the first that none has; None if all are known."""
    for key in keys:
        if key not in FIELDS and key not in OTHERS:
            near = difflib.get_close_matches(key, FIELDS, n=1, cutoff=0.5)
            return f"unknown key '{key}': " + (f"did you mean {near[0]}?" if near else f"known: {', '.join(_known())}")
    return None


def _known() -> list[str]:
    return sorted({*FIELDS, *OTHERS})


def pair(events: Iterable[Event]) -> Iterator[Operation]:
    """Yield each operation when it completes, and in the end those that never did, in order of invocation.

    Events without a process are of one single process; those of a process that is no number (the nemesis) are left out.
    A completion that nothing began is an operation of its moment. Raises Problem for an event that cannot be: of an
    unknown type, of a process that is still busy, or that completes something else than what began.
    """
    begun: dict[int, tuple[int, str, Json, float]] = {}
    index = 0
    for position, (line, kind, process, f, value, error) in enumerate(events):
        number = 0 if process is None else process if type(process) is int else -1
        if number < 0:
            _not_client(line, process)
            continue
        if kind == "invoke":
            if number in begun:
                who = f"process {number}" if process is not None else "no process is given, so the single one there is"
                raise Problem(line, f"{who} begins an operation before the one under way has completed")
            begun[number] = index, _kind(line, f), value, float(position)
            index += 1
            continue
        outcome = _outcome(line, kind)
        started = begun.pop(number, None)
        if started is None:
            started = index, _kind(line, f), value, float(position)
            index += 1
        elif f is not None and f != started[1]:
            raise Problem(line, f"process {number} completes {_shown(f)}, but what it began is {_shown(started[1])}")
        result = value if outcome is Outcome.OK else None
        errors = () if error is None else (_text(error),)
        yield Operation(
            started[0], number, started[1], started[2], outcome, started[3], float(position), result, errors=errors
        )
    for number, (place, name, value, at) in begun.items():
        yield Operation(place, number, name, value, Outcome.INFO, at, None)


def _not_client(line: int, process: Json) -> None:
    """Raise Problem for what should have been a number, and pass over the nemesis."""
    if not isinstance(process, str) or process.strip("0123456789") == "":
        raise Problem(line, f"process {_shown(process)}: a number is expected, or a name such as nemesis")


OUTCOMES: dict[Json, Outcome] = {"ok": Outcome.OK, "fail": Outcome.FAIL, "info": Outcome.INFO}


def _outcome(line: int, kind: Json) -> Outcome:
    if isinstance(kind, str) and kind in OUTCOMES:
        return OUTCOMES[kind]
    given = "no type" if kind is None else f"unknown type {_shown(kind)}"
    raise Problem(line, f"{given}: an event is of type invoke, ok, fail or info")


def _kind(line: int, f: Json) -> str:
    if f is None:
        return TRANSACTION
    if isinstance(f, str):
        return f
    raise Problem(line, f"f is {_shown(f)}: the name of a function is expected, as read, write or txn")


def _text(error: Json) -> str:
    text = error if isinstance(error, str) else msgspec.json.encode(error).decode()
    return text if len(text) <= LONGEST_ERROR else text[: LONGEST_ERROR - 3] + "..."


def _shown(value: Json) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 40 else text[:37] + "..."
