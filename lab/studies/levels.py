"""What is known of each isolation level of each kind of database: which cases of Hermitage show an anomaly there.

The published results (Hermitage's README) ask whether the very phenomenon occurs that a case is named after, and say of
PostgreSQL's weaker levels that G1b, G1c and OTV do not. The oracle here asks for more, a serial order that explains all
that was read. So G1b and OTV show the non-repeatable reads of READ COMMITTED, and G1c, in which neither of two
transactions sees what the other wrote, the write skew of snapshot isolation. In all other cases both say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lab.db.engine import IsolationLevel
from lab.db.target import Dialect
from lab.interleave.hermitage import CASES

LEVELS: Final[tuple[IsolationLevel, ...]] = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")
"""From the strongest to the weakest. PostgreSQL runs READ UNCOMMITTED as READ COMMITTED."""


@dataclass(frozen=True, slots=True)
class Known:
    """The cases that *show* an anomaly at a level: if they do not, the oracle has proven nothing there.

    Those that *may*, do so or not; any other case that does breaks the level's promise.
    """

    shows: frozenset[str] = frozenset()
    may: frozenset[str] = frozenset()


SKEWS: Final = frozenset({"G1c", "G2-item", "G2", "G2-Fekete", "read-only"})
"""What snapshot isolation lets happen: cycles with two consecutive rw dependencies (Fekete et al. 2005)."""

ALL: Final = frozenset(case.name for case in CASES)

DEPENDS: Final = frozenset({"G1b", "G1c", "OTV", "PMP-write"})
"""What READ COMMITTED shows or not, depending on which statements wait, and on what they do then."""

KNOWN: Final[Mapping[Dialect, Mapping[IsolationLevel, Known]]] = {
    "postgresql": {
        "SERIALIZABLE": Known(),
        "REPEATABLE READ": Known(SKEWS),
        "READ COMMITTED": Known(ALL - {"G0", "G1a"}),
    },
    # CockroachDB has the weaker ones from 23.2 on, and only where they are enabled. What is said of them follows from
    # its documentation: a snapshot for each transaction, or each statement, and reads that lock nothing. Whether reads
    # wait for a row that is being written, and whether a write looks again after it has waited, differs by version.
    "cockroachdb": {
        "SERIALIZABLE": Known(),
        "REPEATABLE READ": Known(SKEWS - {"G1c"}, may=frozenset({"G1c"})),
        "READ COMMITTED": Known(ALL - {"G0", "G1a"} - DEPENDS, may=DEPENDS),
    },
}
"""Dialect -> level -> what is known."""
