"""Operations of a compare-and-set register as transitions: the state that each must find, and the one it leaves."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import msgspec

from lab.history import Json, Operation, Outcome

ANY = -1
"""No state: a write may find whatever it likes, a read leaves what it found."""

Key: TypeAlias = int | str | bytes | None
"""Something hashable that two values share if and only if they are the same JSON."""


class NotARegister(ValueError):
    """An operation that no register has; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Transition:
    """What one operation does: *need* is the code of the state that it must find, *new* of the one that it leaves.

    It takes effect between *invoked* and *completed*; one that is not *required* may also never take effect.
    """

    index: int
    need: int
    new: int
    invoked: float
    completed: float
    required: bool


def optional(transition: Transition) -> Transition:
    """Return the transition as one that may also never take effect."""
    return replace(transition, completed=math.inf, required=False)


class Codes:
    """Small integers for JSON values, in order of appearance."""

    def __init__(self) -> None:
        self.values: list[Json] = []
        self._codes: dict[Key, int] = {}

    def __call__(self, value: Json) -> int:
        """Return the code of a value."""
        key = identity(value)
        code = self._codes.get(key)
        if code is None:
            code = self._codes[key] = len(self.values)
            self.values.append(value)
        return code


def identity(value: Json) -> Key:
    """Return what is the same for equal JSON values only: 1 and 1.0 are one number, true is none."""
    if value is None or type(value) is int or type(value) is str:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    return msgspec.json.encode(value, order="deterministic")


def pair(value: Json, operation: Operation, what: str) -> tuple[Json, Json]:
    """Return the two parts of a JSON array; raises `NotARegister` that names the operation and *what* it should be."""
    if isinstance(value, list | tuple) and len(value) == 2:
        return value[0], value[1]
    raise NotARegister(f"operation {operation.index}: {what}, not {value!r:.80}")


def transitions(operations: Iterable[Operation], codes: Codes) -> list[Transition]:
    """Return what the operations that may have taken effect do, in their order. Raises `NotARegister`.

    Failed ones did nothing, and a read that nobody got an answer of says nothing: both are left out.
    """
    found = []
    for operation in operations:
        if operation.outcome is Outcome.FAIL or (operation.outcome is Outcome.INFO and operation.kind == "read"):
            continue
        if operation.completed is not None and operation.completed < operation.invoked:
            raise NotARegister(f"operation {operation.index}: it completed before it was invoked")
        need, new = _effect(operation, codes)
        required = operation.outcome is Outcome.OK
        if required or new != ANY:
            never = operation.completed is None or not required
            completed = math.inf if never or operation.completed is None else operation.completed
            found.append(Transition(operation.index, need, new, operation.invoked, completed, required))
    return found


def _effect(operation: Operation, codes: Codes) -> tuple[int, int]:
    if operation.kind == "read":
        return codes(operation.result), ANY
    if operation.kind == "write":
        return ANY, codes(operation.value)
    if operation.kind == "cas":
        old, new = (codes(part) for part in pair(operation.value, operation, "the value of a cas is [old, new]"))
        return old, ANY if old == new else new
    raise NotARegister(f"operation {operation.index}: a register has read, write and cas, not {operation.kind!r:.40}")
