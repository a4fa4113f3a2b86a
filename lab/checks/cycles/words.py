"""The words for transactions, keys and values in the sentences about them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

import numpy as np

from lab.checks.cycles.columns import WRITE, Transactions
from lab.verdict import Anomaly

MOST_SHOWN = 8
"""Values of a list that are shown; of a longer one, the last."""

Pairs: TypeAlias = tuple[int, Iterable[tuple[int, int]]]
"""How many anomalies of a name there are, and for each the two micro-operations that show it, told one by one."""


def name_of(transactions: Transactions, number: int) -> str:
    """Return the name of a transaction: T and the index of its operation."""
    return f"T{int(transactions.index[number])}"


@dataclass(frozen=True, slots=True)
class Micro:
    """A micro-operation, as sentences speak of it."""

    transactions: Transactions
    place: int

    @property
    def operation(self) -> int:
        """The index of its operation."""
        return int(self.transactions.index[self.transactions.owner[self.place]])

    @property
    def name(self) -> str:
        """The name of its transaction."""
        return name_of(self.transactions, int(self.transactions.owner[self.place]))

    @property
    def key(self) -> str:
        """Its key."""
        return str(self.transactions.keys[int(self.transactions.key[self.place])])

    @property
    def value(self) -> str:
        """The value that it wrote."""
        return self.transactions.said(int(self.transactions.value[self.place]))

    @property
    def list(self) -> str:
        """The list that it read."""
        values = [self.transactions.said(value) for value in self.transactions.read(self.place).tolist()]
        shown = values if len(values) <= MOST_SHOWN else ["…", *values[-MOST_SHOWN:]]
        return f"[{' '.join(shown)}]"

    @property
    def got(self) -> str:
        """The one value that it read."""
        values = self.transactions.read(self.place).tolist()
        return self.transactions.said(values[0]) if values else "nothing"

    @property
    def beside(self) -> Iterator[Micro]:
        """What its transaction did with its key, in order."""
        t = self.transactions
        owner = t.owner[self.place]
        for place in range(*np.searchsorted(t.owner, (owner, owner + 1)).tolist()):
            if t.key[place] == t.key[self.place]:
                yield Micro(t, place)

    @property
    def lists_past(self) -> str:
        """What its transaction did with the list, as a list of steps."""
        return ", ".join(f"append {m.value}" if m.writes else f"read {m.list}" for m in self.beside if m.told)

    @property
    def registers_past(self) -> str:
        """What its transaction did with the register, as a list of steps."""
        return ", ".join(f"write {m.value}" if m.writes else f"read {m.got}" for m in self.beside if m.told)

    @property
    def writes(self) -> bool:
        """Whether it is a write."""
        return bool(self.transactions.kind[self.place] == WRITE)

    @property
    def told(self) -> bool:
        """Whether what it did is on record."""
        return self.writes or bool(self.transactions.known[self.place])


def tell(
    transactions: Transactions, found: Mapping[str, Pairs], sentences: Mapping[str, str], most: int
) -> Iterator[tuple[str, int, list[Anomaly]]]:
    """Yield (name, how many, *most* of them told) of what was found, with a sentence of {a} and {b} for each.

    A name may come with several sentences, told apart by a word in parentheses.
    """
    for sentence, (count, pairs) in found.items():
        if count:
            name = sentence.partition(" (")[0]
            shown = [(Micro(transactions, one), Micro(transactions, other)) for one, other in islice(pairs, most)]
            yield (
                name,
                count,
                [
                    Anomaly(
                        name, tuple(dict.fromkeys((a.operation, b.operation))), sentences[sentence].format(a=a, b=b)
                    )
                    for a, b in shown
                ],
            )
