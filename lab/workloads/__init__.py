"""Workloads by name: generators of operations with an invariant. To add one: write its file, and name it here."""

from __future__ import annotations

from lab.errors import unknown_name
from lab.workloads.bank import Bank
from lab.workloads.bank_tables import BankTables
from lab.workloads.base import Workload
from lab.workloads.counter import PlainCounter
from lab.workloads.list_append import ListAppend
from lab.workloads.monotonic import Monotonic
from lab.workloads.orders import Orders
from lab.workloads.register import Registers
from lab.workloads.rw_register import RwRegisters
from lab.workloads.sequential import Sequential
from lab.workloads.sets import Elements
from lab.workloads.version_counter import VersionCounter
from lab.workloads.write_skew import WriteSkew

_ALL: tuple[Workload, ...] = (
    Bank(accounts=16),
    BankTables(),
    Registers(),
    ListAppend(),
    RwRegisters(),
    Elements(),
    Monotonic(),
    Sequential(),
    WriteSkew(),
    Orders(),
    PlainCounter(),
    VersionCounter(),
)

WORKLOADS: dict[str, Workload] = {workload.name: workload for workload in _ALL}


def choose_workload(name: str) -> Workload:
    """Return the workload of a name; raise UsageError with the nearest names for an unknown one."""
    if name not in WORKLOADS:
        raise unknown_name("workload", name, WORKLOADS)
    return WORKLOADS[name]
