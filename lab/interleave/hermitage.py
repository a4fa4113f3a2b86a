"""The cases of Hermitage as data: interleavings that show what an isolation level really forbids.

Source: Martin Kleppmann's Hermitage (2014), after Adya's phenomena; the last one is the history of Fekete, O'Neil and
O'Neil, "A Read-Only Transaction Anomaly Under Snapshot Isolation" (SIGMOD Record, 2004), as it is printed there.
Hermitage's own G2-Fekete has the same shape with other rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from lab.interleave.steps import Schedule
from lab.interleave.text import INITIAL, parse_schedule


@dataclass(frozen=True, slots=True)
class Case:
    """One case: its *name*, what goes wrong in it, in words, and its steps."""

    name: str
    title: str
    schedule: Schedule


def _case(name: str, title: str, steps: str, initial: tuple[tuple[int, int], ...] = INITIAL) -> Case:
    return Case(name, title, parse_schedule(steps, initial))


CASES: Final = (
    _case(
        "G0",
        "write cycles: the writes of two transactions are mixed",
        "T1: w1=11; T2: w1=12; T1: w2=21, c; T2: w2=22, c",
    ),
    _case(
        "G1a",
        "aborted reads: what was never committed is seen",
        "T1: w1=101; T2: r*; T1: a; T2: r*, c",
    ),
    _case(
        "G1b",
        "intermediate reads: a value is seen that was not to last, or another one the second time",
        "T1: w1=101; T2: r*; T1: w1=11, c; T2: r*, c",
    ),
    _case(
        "G1c",
        "circular information flow: each of two transactions sees the other's write, or neither does",
        "T1: w1=11; T2: w2=22; T1: r2; T2: r1; T1: c; T2: c",
    ),
    _case(
        "OTV",
        "observed transaction vanishes: what was seen of one is replaced while it is looked at",
        "T1: w1=11, w2=19; T2: w1=12; T1: c; T3: r1; T2: w2=18; T3: r2; T2: c; T3: r2, r1, c",
    ),
    _case(
        "PMP",
        "predicate-many-preceders: a row appears that was not there",
        "T1: r[value=30]; T2: i3=30, c; T1: p3, c",
    ),
    _case(
        "PMP-write",
        "predicate-many-preceders, writing: a row escapes its deletion",
        "T1: w*+=10; T2: d[value=20]; T1: c; T2: r[value=20], c",
    ),
    _case(
        "P4",
        "lost update: both write what they made of the same reading",
        "T1: r1; T2: r1; T1: w1=11; T2: w1=11; T1: c; T2: c",
    ),
    _case(
        "G-single",
        "read skew: one row before and one after another transaction",
        "T1: r1; T2: r1, r2, w1=12, w2=18, c; T1: r2, c",
    ),
    _case(
        "G-single-pred",
        "read skew with predicates",
        "T1: r[value%5=0]; T2: w[value=10]=12, c; T1: p3, c",
    ),
    _case(
        "G-single-write",
        "read skew with a predicate that writes",
        "T1: r1; T2: r*, w1=12, w2=18, c; T1: d[value=20], c",
    ),
    _case(
        "G2-item",
        "write skew: each writes what the other has read",
        "T1: r1, r2; T2: r1, r2; T1: w1=11; T2: w2=21; T1: c; T2: c",
    ),
    _case(
        "G2",
        "write skew with predicates: each inserts what the other has looked for in vain",
        "T1: p3; T2: p3; T1: i3=30; T2: i4=42; T1: c; T2: c",
    ),
    _case(
        "G2-Fekete",
        "write skew that only a reader can see: it makes a cycle of two that were fine",
        "T1: r*; T2: w2+=5, c; T3: r*, c; T1: w1=0, c",
    ),
    _case(
        "read-only",
        "the read-only transaction anomaly: a statement shows a deposit, and later a fee as if it had not been there",
        "T2: r1, r2; T1: r2, w2=20, c; T3: r1, r2, c; T2: w1=-11, c",
        ((1, 0), (2, 0)),
    ),
)
