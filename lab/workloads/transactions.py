"""What list-append and read-write register share: transactions of several micro-operations over keys that rotate."""

from __future__ import annotations

import random as random_module
from collections.abc import Awaitable, Callable
from typing import TypeAlias, cast

from sqlalchemy.ext.asyncio import AsyncSession

from lab.history import Json
from lab.workloads.base import Perform, Request, Turn
from lab.workloads.effects import Effect

MicroOperation: TypeAlias = tuple[str, int, int | None]
"""("r", key, None), or the workload's write: ("append" or "w", key, value)."""

Step: TypeAlias = Callable[[AsyncSession, MicroOperation], Awaitable[Json]]
"""Carries out one micro-operation and returns what a read saw, or the value that was written."""


def draw_keys(random: random_module.Random, turn: Turn, *, active: int, turns: int, count: int) -> list[int]:
    """Draw *count* of the *active* keys; after so many *turns* of a client it goes on to new ones.

    So no key grows for long, and clients that were held up come back to keys that the others have left.
    """
    first = turn.number // turns * active
    return [first + random.randrange(active) for _ in range(count)]


def request(micro: list[MicroOperation], step: Step) -> Request:
    """Return the request for one transaction of *micro*-operations, in Jepsen's shape."""
    value = cast("Json", [list(operation) for operation in micro])
    writes = any(kind != "r" for kind, _, _ in micro)
    return Request("txn", value, lambda unit: _perform(unit if writes else None, micro, step), writes=writes)


def draw_micro_operations(
    random: random_module.Random, turn: Turn, keys: list[int], write: str, reads: float
) -> list[MicroOperation]:
    """Draw a read (with probability *reads*) or a *write* of a value that nobody else writes, for each of *keys*."""
    return [
        ("r", key, None) if random.random() < reads else (write, key, turn.value(place))
        for place, key in enumerate(keys)
    ]


def final_read(states: dict[int, Json]) -> Json:
    """Return the final state of all keys as one transaction that reads them; see `lab.checks.resolution`."""
    value: Json = [["r", key, None] for key in states]
    result: Json = [["r", key, state] for key, state in states.items()]
    return {"reads": [{"kind": "txn", "value": value, "result": result}]}


def _perform(unit: str | None, micro: list[MicroOperation], step: Step) -> Perform:
    async def perform(session: AsyncSession) -> Json:
        if unit is not None:
            session.add(Effect(unit))
        done: list[Json] = []
        for operation in micro:
            kind, key, _ = operation
            done.append([kind, key, await step(session, operation)])
        return done

    return perform
