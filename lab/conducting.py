"""A run that is under way, as it is given to whoever conducts it by hand instead of by its plan."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy.ext.asyncio import AsyncEngine

from lab.clients import Clients
from lab.clusters.base import Cluster
from lab.observer import Observer
from lab.recorder import Recorder


@dataclass(frozen=True, slots=True)
class Live:
    """A run whose clients are at work on *cluster* through *engine*."""

    cluster: Cluster
    clients: Clients
    engine: AsyncEngine
    recorder: Recorder
    observer: Observer


Conductor: TypeAlias = Callable[[Live], Awaitable[None]]
"""Strikes and heals while the clients work, until it returns."""
