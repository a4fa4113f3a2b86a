"""Transactions as columns of numbers: what a million of them is judged by, without a million objects."""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lab.history import Json, Operation, Outcome

Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]

OK, INFO, FAIL = 0, 1, 2
OUTCOMES = {Outcome.OK: OK, Outcome.INFO: INFO, Outcome.FAIL: FAIL}

READ, WRITE = 0, 1
LISTS = {"r": READ, "append": WRITE}
REGISTERS = {"r": READ, "w": WRITE}

BLOCK = 50_000
"""Operations that are turned into columns at once."""


class NoTransactions(ValueError):
    """The operations are no transactions of this kind; the message names the first that is not, and why."""


@dataclass(frozen=True, slots=True)
class Transactions:
    """*n* transactions with *m* micro-operations, in order.

    By transaction: *index* (of its operation), *process*, *outcome* (OK, INFO, FAIL), *begin* and *end* (seconds or
    positions; infinite if it never ended). By micro-operation: *owner* (transaction), *kind* (READ, WRITE), *key* (into
    *keys*), *value* (what was written, 0 for a read), and what was read: *known* tells whether that is on record, then
    it is `elements[first:first + length]`. Values are numbers: themselves if all are whole, else places in *values*.
    Numbers take 4 bytes wherever they fit.
    """

    index: Ints
    process: Ints
    outcome: NDArray[np.int8]
    begin: NDArray[np.float64]
    end: NDArray[np.float64]
    owner: Ints
    kind: NDArray[np.int8]
    key: Ints
    value: Ints
    known: Flags
    first: Ints
    length: Ints
    elements: Ints
    keys: tuple[Json, ...]
    values: tuple[Json, ...] | None

    def __len__(self) -> int:
        return len(self.index)

    def said(self, value: int) -> str:
        """Return a value as people write it."""
        return json.dumps(int(value) if self.values is None else self.values[value], ensure_ascii=False)

    def read(self, micro: int) -> Ints:
        """Return what a micro-operation read."""
        first = self.first[micro]
        return self.elements[first : first + self.length[micro]]


class _Codes(dict[Any, int]):
    """Numbers for things, in order of appearance; what cannot be a key of a dictionary goes by its JSON text."""

    def __init__(self) -> None:
        super().__init__()
        self.things: list[Any] = []

    def __missing__(self, thing: Any) -> int:
        self[thing] = code = len(self.things)
        self.things.append(thing)
        return code

    def of(self, things: Iterable[Any]) -> Iterator[int]:
        """Yield the number of each thing."""
        for thing in things:
            # 1, 1.0 and true are one key to Python, and three values to everybody else
            yield self[thing if type(thing) in (int, str) else (json.dumps(thing), type(thing).__name__)]


def collect(operations: Iterable[Operation], *, registers: bool = False) -> Transactions:
    """Turn operations into columns, block by block, and forget them: a stream needs no more memory than its columns.

    *registers*: what is read is one value, not a list of them. Raises NoTransactions.
    """
    stream = iter(operations)
    blocks = _Blocks(registers)
    while block := list(itertools.islice(stream, BLOCK)):
        blocks.take(block)
    return blocks.joined()


class _Blocks:
    def __init__(self, registers: bool) -> None:
        self._registers = registers
        self._kinds = REGISTERS if registers else LISTS
        self._keys = _Codes()
        self._values: _Codes | None = None
        self._blocks: list[tuple[NDArray[Any], ...]] = []
        self._transactions = 0
        self._elements = 0

    def take(self, block: list[Operation]) -> None:
        bodies, known = _bodies(block, self._kinds)
        try:
            self._blocks.append(self._columns(block, bodies, known))
        except (TypeError, KeyError, IndexError, ValueError) as error:
            raise NoTransactions(_offender(block, bodies, self._kinds) or str(error)) from error

    def _columns(self, block: list[Operation], bodies: list[list[Any]], known: list[bool]) -> tuple[NDArray[Any], ...]:
        n = len(block)
        counts = np.fromiter(map(len, bodies), np.int64, n)
        micros = list(itertools.chain.from_iterable(bodies))
        m = len(micros)
        kind = np.fromiter(map(self._kinds.__getitem__, map(itemgetter(0), micros)), np.int8, m)
        key = self._coded_keys(list(map(itemgetter(1), micros)), m)
        arguments = list(map(itemgetter(2), micros))
        writes = kind == WRITE
        written = list(itertools.compress(arguments, writes.tolist()))
        on_record = np.repeat(np.fromiter(known, np.bool_, n), counts) & ~writes
        lists = self._lists(itertools.compress(arguments, on_record.tolist()))
        length = np.zeros(m, np.int32)
        length[on_record] = np.fromiter(map(len, lists), np.int32, len(lists))
        numbers, elements = self._both_coded(written, list(itertools.chain.from_iterable(lists)))
        value = np.zeros(m, np.int64)
        value[writes] = numbers
        first = np.cumsum(length, dtype=np.int64) - length + self._elements
        owner = np.repeat(np.arange(self._transactions, self._transactions + n, dtype=np.int32), counts)
        self._transactions += n
        self._elements += len(elements)
        return (*_times(block), owner, kind, key, value, on_record, first, length, elements)

    def _lists(self, read: Iterable[Any]) -> list[Any]:
        if self._registers:
            return [() if value is None else (value,) for value in read]
        lists = [() if value is None else value for value in read]
        if not set(map(type, lists)) <= {list, tuple}:
            raise TypeError
        return lists

    def _coded_keys(self, keys: list[Any], count: int) -> NDArray[np.int32]:
        plain = set(map(type, keys)) <= {int, str}
        return np.fromiter(map(self._keys.__getitem__, keys) if plain else self._keys.of(keys), np.int32, count)

    def _both_coded(self, written: list[Any], read: list[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        plain = self._values is None
        numbers, elements = self._coded(written), self._coded(read)
        if plain and self._values is not None:  # what was read is not whole: what was written before has to follow
            numbers = self._coded(written)
        return numbers, elements

    def _coded(self, values: list[Any]) -> NDArray[Any]:
        if self._values is None:
            try:
                # refuses what is not whole; true would pass for 1
                return _small(np.frombuffer(array("q", values), np.int64)) if values else np.zeros(0, np.int32)
            except (TypeError, OverflowError):
                self._values = _Codes()
                self._recode(self._values)
        return np.fromiter(self._values.of(values), np.int32, len(values))

    def _recode(self, codes: _Codes) -> None:
        """Give the whole numbers of earlier blocks their places among values of any kind."""
        code = np.vectorize(codes.__getitem__, otypes=[np.int64])
        for number, block in enumerate(self._blocks):
            *before, kind, key, value, known, first, length, elements = block
            value = np.where(kind == WRITE, code(value.tolist()) if len(value) else value, 0)
            elements = code(elements.tolist()) if len(elements) else elements
            self._blocks[number] = (*before, kind, key, value, known, first, length, elements)

    def joined(self) -> Transactions:
        empty = self._columns([], [], [])
        parts = [list(column) for column in zip(*(self._blocks or [empty]), strict=True)]
        self._blocks.clear()
        columns: list[Any] = []
        while parts:  # one column after the other, so that no more than one is there twice
            columns.append(np.concatenate(parts.pop(0)))
        values = None if self._values is None else tuple(map(_thing, self._values.things))
        columns += [tuple(map(_thing, self._keys.things)), values]
        return Transactions(*columns)


def _small(numbers: Ints) -> NDArray[Any]:
    """Return the numbers in half the memory, if they fit."""
    low, high = int(numbers.min()), int(numbers.max())
    return numbers.astype(np.int32) if low >= -(2**31) and high < 2**31 else numbers


def _thing(key: Any) -> Json:
    thing: Json = json.loads(key[0]) if isinstance(key, tuple) else key
    return thing


def _bodies(block: list[Operation], kinds: Mapping[str, int]) -> tuple[list[list[Any]], list[bool]]:
    """Return the micro-operations of each transaction, and whether what it read is on record.

    An operation that was settled by its idempotency key is certainly done, but its answer was lost.
    """
    known = [operation.outcome is Outcome.OK and type(operation.result) in (list, tuple) for operation in block]
    bodies: list[Any] = [o.result if read else o.value for o, read in zip(block, known, strict=True)]
    if not set(map(type, bodies)) <= {list, tuple}:
        raise NoTransactions(_offender(block, bodies, kinds))
    return bodies, known


def _times(block: list[Operation]) -> tuple[NDArray[Any], ...]:
    n = len(block)
    outcome = np.fromiter(map(OUTCOMES.__getitem__, map(attrgetter("outcome"), block)), np.int8, n)
    index = np.fromiter(map(attrgetter("index"), block), np.int64, n)
    process = np.fromiter(map(attrgetter("process"), block), np.int64, n)
    begin = np.fromiter(map(attrgetter("invoked"), block), np.float64, n)
    ended = [math.inf if moment is None else moment for moment in map(attrgetter("completed"), block)]
    # What is not certainly done may still take effect after its client had given it up.
    end = np.where(outcome == OK, np.array(ended, np.float64), math.inf)
    return index, process, outcome, begin, end


def _offender(block: list[Operation], bodies: list[Any], kinds: Mapping[str, int]) -> str:
    for operation, body in zip(block, bodies, strict=True):
        if not isinstance(body, list | tuple):
            return f"operation {operation.index} holds no list of micro-operations, but {_short(body)}"
        for micro in body:
            if not isinstance(micro, list | tuple) or len(micro) != 3 or micro[0] not in kinds:
                return f"operation {operation.index}: {_short(micro)} is no [{' or '.join(kinds)}; key; value]"
            if (
                kinds is LISTS
                and micro[0] == "r"
                and operation.outcome is Outcome.OK
                and isinstance(micro[2], bool | int | str | float)
            ):
                return f"operation {operation.index} read no list: {_short(micro)}"
    return ""


def _short(value: Any) -> str:
    return f"{value!r:.80}"
