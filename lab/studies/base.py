"""A study: an experiment that measures a table on a cluster, where a scenario has clients that a plan strikes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from lab.clusters.base import Capability, Cluster
from lab.history import Json
from lab.observer import Observer
from lab.verdict import Finding, Verdict


@dataclass(frozen=True, slots=True)
class StudyTable:
    """What was measured, as people read it: a heading for each column, rows of cells, and sentences below.

    It fits into 80 columns.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What the study *name* showed in *seconds* seconds: its verdict, why, the table, and all of it as JSON *data*."""

    name: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    table: StudyTable
    data: Json
    seconds: float


Measure = Callable[[Cluster, int, Observer], Awaitable[StudyResult]]
"""Measure on a started, healthy cluster, with a seed that decides every draw; the observer hears how it goes on."""


@dataclass(frozen=True, slots=True)
class Study:
    """A named experiment: its *title* says what is measured, *says* what is asserted, each as a sentence.

    *needs* is what the cluster must be able to do; every cluster speaks SQL.
    """

    name: str
    title: str
    says: tuple[str, ...]
    run: Measure
    needs: frozenset[Capability] = frozenset()
