"""The study: the whole matrix and the further looks on a cluster, as far as the cluster is able."""

from __future__ import annotations

import time
from collections.abc import Set

from sqlalchemy.exc import SQLAlchemyError

from lab.cleanup import together
from lab.clusters.base import Capability, Cluster
from lab.db.engine import resilient_engine
from lab.db.quiet import quiet_drivers
from lab.db.target import Dialect
from lab.errors import Unhealthy
from lab.history import Outcome
from lab.observer import Observer
from lab.studies.base import Study, StudyResult
from lab.studies.pool.cells import Client, Death, all_cells
from lab.studies.pool.expected import EXPECTED
from lab.studies.pool.habits import HABITS, OF_POSTGRESQL, Look, Place
from lab.studies.pool.hosts import HOSTS
from lab.studies.pool.judge import Seen, judge
from lab.studies.pool.matrix import measure_cells
from lab.studies.pool.render import Matrix, data_of, table_of
from lab.studies.pool.table import make_table
from lab.studies.pool.vanished import VANISHED
from lab.verdict import merge


async def measure(cluster: Cluster, seed: int, observer: Observer) -> StudyResult:  # noqa: ARG001 - nothing is drawn
    """Measure every cell that the cluster is able to show. Raises Unhealthy if that could not be done."""
    began = time.monotonic()
    with quiet_drivers():
        matrix = await measure_all(cluster, observer)
    findings = judge(matrix.measured, matrix.seen, EXPECTED)
    verdict = merge(finding.verdict for finding in findings)
    data = data_of(matrix, EXPECTED)
    return StudyResult(STUDY.name, verdict, findings, table_of(matrix), data, time.monotonic() - began)


async def measure_all(cluster: Cluster, observer: Observer) -> Matrix:
    """Measure, and tell *observer* of every cell."""
    cells = [cell for cell in all_cells() if not cell.lacks(cluster.capabilities)]
    looks = looks_of(cluster.capabilities, cluster.direct.dialect)
    try:
        # First, as the restart at the end of the cells would end what is open here.
        seen = await look_at(cluster, looks, observer)
        observer.phase("cells")
        measured = await measure_cells(cluster, cells, tell=lambda _cell: observer.completed(Outcome.OK))
    except (SQLAlchemyError, OSError) as error:
        about = " ".join(str(getattr(error, "orig", None) or error).split())
        raise Unhealthy(f"the pool matrix cannot be measured: {about or type(error).__name__}") from error
    return Matrix(measured, seen, tuple(left_out(cluster.name, cluster.capabilities, cluster.direct.dialect)))


async def look_at(cluster: Cluster, looks: dict[str, Look], observer: Observer) -> tuple[Seen, ...]:
    """Take the further looks, one after the other, as some are about the order of things; the slow ones at once."""
    seen: list[Seen] = []
    truth = resilient_engine(cluster.direct, application_name="lab-truth")
    try:
        await make_table(truth)

        async def one(number: int, title: str, client: Client) -> Seen:
            observer.phase(title)
            began = time.monotonic()
            text = await looks[title](Place(cluster, truth, client, f"look{number:02}-{client}"))
            observer.completed(Outcome.OK)
            return Seen(title, client, text, time.monotonic() - began)

        turns = [(n, title, client) for n, title in enumerate(looks) for client in (Client.ASYNCPG, Client.PSYCOPG)]
        seen += [await one(*turn) for turn in turns if turn[1] not in VANISHED]
        async with together() as group:
            tasks = [group.create_task(one(*turn)) for turn in turns if turn[1] in VANISHED]
        seen += [task.result() for task in tasks]
    finally:
        await truth.dispose()
    return tuple(seen)


def looks_of(capabilities: Set[Capability], dialect: Dialect) -> dict[str, Look]:
    """Return the further looks that a cluster is able to show."""
    habits = {name: look for name, look in HABITS.items() if dialect == "postgresql" or name not in OF_POSTGRESQL}
    return {**habits, **HOSTS, **(VANISHED if Capability.VANISHING in capabilities else {})}


def left_out(name: str, capabilities: Set[Capability], dialect: Dialect) -> list[str]:
    """Return a sentence for each part of the matrix that the cluster *name* is not able to show."""
    told = []
    for death in Death:
        cells = [cell for cell in all_cells() if cell.death is death and cell.lacks(capabilities)]
        lacks = {need for cell in cells for need in cell.lacks(capabilities)}
        if cells:
            told.append(f"{death}: {len(cells)} cells left out, as '{name}' has no {', '.join(sorted(lacks))}")
    if dialect != "postgresql":
        absent = ", ".join(name for name in HABITS if name in OF_POSTGRESQL)
        told.append(f"{absent}: left out, as they ask for what PostgreSQL alone has")
    if Capability.VANISHING not in capabilities:
        told.append(f"{'; '.join(VANISHED)}: left out, as '{name}' has no {Capability.VANISHING}")
    return told


STUDY = Study(
    name="pool",
    title="what pool_pre_ping and the other settings do when connections die, with each driver",
    says=(
        "every cell shows the errors, the replaced connections and the state of the pool that are known of it",
        "with lab.db.resilient_engine no cell lasts longer than the bound that its arguments state",
        "recycling, overflow, resets, leaks and several hosts are as they are known to be",
    ),
    run=measure,
    needs=frozenset({Capability.WIRE_RULES}),
)
