"""The names of anomalies, and which of them each consistency model forbids (Adya 1999; Elle 2020)."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Level: TypeAlias = Literal[
    "read-committed",
    "repeatable-read",
    "snapshot-isolation",
    "serializable",
    "strong-session-serializable",
    "strict-serializable",
]
"""Consistency models. Nobody reads by predicate here, so repeatable read forbids what serializable forbids."""

Lists: TypeAlias = Literal["list-append", "rw-register"]
"""What the transactions work on."""

EFFORT = 3_000_000_000
"""Steps of the search for witnesses, each one edge for up to 64 sources: some seconds."""

LEVELS: tuple[Level, ...] = get_args(Level)

_ALWAYS = frozenset({"incompatible-order", "duplicate-elements", "cyclic-versions", "dirty-update", "G0"})
_COMMITTED = _ALWAYS | {"G1a", "G1b", "G1c", "future-read"}
_SNAPSHOT = _COMMITTED | {"internal", "lost-update", "G-single", "G-nonadjacent"}
_SERIALIZABLE = _SNAPSHOT | {"G2-item"}

CYCLES = ("G0", "G1c", "G-single", "G-nonadjacent", "G2-item")
"""Kinds of cycles, the gravest first."""

_SESSION = _SERIALIZABLE | {f"{name}-process" for name in CYCLES}

FORBIDDEN: dict[Level, frozenset[str]] = {
    "read-committed": _COMMITTED,
    "repeatable-read": _SERIALIZABLE,
    "snapshot-isolation": _SNAPSHOT,
    "serializable": _SERIALIZABLE,
    "strong-session-serializable": _SESSION,
    "strict-serializable": _SESSION | {f"{name}-realtime" for name in CYCLES},
}

MEANING = {
    "incompatible-order": "reads of one list do not agree on the order of its elements",
    "duplicate-elements": "an append was applied more than once",
    "cyclic-versions": "the versions of a key follow each other in a circle",
    "dirty-update": "a committed write went on top of an aborted one",
    "G0": "dirty write: writes of two transactions interleave",
    "G1a": "aborted read: a value of a transaction that failed was read",
    "G1b": "intermediate read: a state in the middle of a transaction was read",
    "G1c": "circular information flow: each has seen what the other wrote",
    "future-read": "a transaction read its own write before it made it",
    "internal": "a transaction does not see its own earlier reads and writes",
    "lost-update": "two transactions updated the same version, and one of the updates is lost",
    "G-single": "read skew: a transaction saw one effect of another, and not the other effect",
    "G-nonadjacent": "several read skews in a circle, which no snapshot explains",
    "G2-item": "write skew: transactions missed each other's writes in a circle",
}
"""What each anomaly is, in a sentence."""


def meaning(name: str) -> str:
    """Return what an anomaly is, in a sentence."""
    for suffix, added in (("-process", "the order of its own process"), ("-realtime", "the order of real time")):
        if name.endswith(suffix):
            return f"{MEANING[name.removesuffix(suffix)]}, if {added} has to be kept"
    return MEANING[name]
