"""The cells of the pool matrix as data: how connections die, when, through which client, with which settings."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Set
from dataclasses import dataclass
from typing import Final

from lab.clusters.base import Capability
from lab.db.drivers import Driver


class Death(enum.StrEnum):
    """How the connections of a pool die."""

    FIN = "FIN"
    """Something between closes them in an orderly way."""

    RST = "RST"
    """Something between resets them."""

    BLACK_HOLE = "black hole"
    """Whatever is sent is lost, on old connections and new ones, until the path is mended."""

    REFUSED = "refused"
    """They are cut, and new ones are refused, until somebody listens again."""

    RESTART = "restart"
    """The server (of a cluster, the node behind them) is killed, and is up again when the application goes on."""

    STOPPED = "stopped"
    """The processes behind them stand still (SIGSTOP) and stay so; new connections are served."""


class Moment(enum.StrEnum):
    """When they die."""

    IDLE = "idle"
    PING = "ping"
    TRANSACTION = "in tx"
    COMMIT = "COMMIT"


class Client(enum.StrEnum):
    """Which driver the application uses, and how."""

    ASYNCPG = "asyncpg"
    PSYCOPG = "psycopg"
    PSYCOPG_SYNC = "psycopg sync"

    @property
    def driver(self) -> Driver:
        """The driver itself."""
        return "asyncpg" if self is Client.ASYNCPG else "psycopg"


class Setting(enum.StrEnum):
    """How the engine is set: SQLAlchemy's defaults without and with pool_pre_ping, or `resilient_engine`."""

    OFF = "off"
    ON = "on"
    RESILIENT = "resilient"


@dataclass(frozen=True, slots=True)
class Cell:
    """One death at one moment, seen through one client with one setting."""

    death: Death
    moment: Moment
    client: Client
    setting: Setting

    @property
    def name(self) -> str:
        """Its name in expectations and findings."""
        return f"{self.death}, {self.moment}, {self.client} {self.setting}"

    @property
    def impossible(self) -> str:
        """Why there is no such cell; empty if there is."""
        return "nothing pings" if self.moment is Moment.PING and self.setting is Setting.OFF else ""

    @property
    def needs(self) -> frozenset[Capability]:
        """What the cluster must be able to do."""
        of_moment = {Capability.WIRE_RULES} if self.moment in (Moment.PING, Moment.COMMIT) else set()
        return frozenset(of_moment | _NEEDS.get(self.death, set()))

    def lacks(self, capabilities: Set[Capability]) -> frozenset[Capability]:
        """Return what a cluster with these *capabilities* does not have: a node that is killed is a crash, too."""
        return (
            self.needs - capabilities - ({Capability.SERVER_CRASH} if Capability.NODE_KILL in capabilities else set())
        )


_NEEDS: Final[dict[Death, set[Capability]]] = {
    Death.FIN: {Capability.TOXICS},
    Death.BLACK_HOLE: {Capability.TOXICS},
    Death.RESTART: {Capability.SERVER_CRASH},
    Death.STOPPED: {Capability.BACKEND_PAUSE},
}

COLUMNS: Final[tuple[tuple[Client, Setting], ...]] = (
    *((client, setting) for client in (Client.ASYNCPG, Client.PSYCOPG) for setting in Setting),
    (Client.PSYCOPG_SYNC, Setting.RESILIENT),
)
"""Clients and settings; the plain synchronous engine has nothing to add to psycopg's."""


def all_cells() -> tuple[Cell, ...]:
    """Return every cell that is possible, in the order of the table."""
    return tuple(cell for cell in _cells() if not cell.impossible)


def _cells() -> Iterable[Cell]:
    for death in Death:
        for moment in Moment:
            for client, setting in COLUMNS:
                yield Cell(death, moment, client, setting)
