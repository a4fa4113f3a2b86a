"""Which checks belong to which workload: the one place where the two meet."""

from __future__ import annotations

import dataclasses

from lab.checks.appends_kept import appends_kept
from lab.checks.chains import acknowledged_parts
from lab.checks.counter import counter
from lab.checks.cycles import serializable
from lab.checks.linearizable import linearizable
from lab.checks.monotonic import monotonic
from lab.checks.on_call import somebody_on_call
from lab.checks.orders import paid_once, stock_kept
from lab.checks.resolution import settled, with_final_reads
from lab.checks.sequential import sequential
from lab.checks.set_full import set_full
from lab.checks.set_kept import set_kept
from lab.checks.values_written import values_written
from lab.verdict import Check


def list_append_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.list_append`."""
    return settled(serializable("list-append")), settled(appends_kept())


def rw_register_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.rw_register`."""
    return settled(serializable("rw-register")), settled(values_written())


def register_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.register`."""
    return (settled(linearizable(keyed=True)),)


def set_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.sets`."""
    return settled(set_kept(keyed=False)), settled(set_full(keyed=False))


def monotonic_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.monotonic`."""
    return (settled(monotonic(keyed=False)),)


def sequential_checks() -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.sequential`.

    A write of unknown outcome may have taken effect after the next one of its client: finding it later settles nothing.
    """
    check = sequential()
    return (dataclasses.replace(check, judge=lambda h: check.judge(acknowledged_parts(with_final_reads(h)))),)


def write_skew_checks(*, shifts: int) -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.write_skew`."""
    return (settled(somebody_on_call(shifts=shifts)),)


def orders_checks(*, products: int, stock: int) -> tuple[Check, ...]:
    """Return the checks of `lab.workloads.orders`."""
    return stock_kept(products=products, stock=stock), paid_once()


def counter_checks() -> tuple[Check, ...]:
    """Return the checks of the counters: with every outcome settled, the final read has one right value."""
    return (settled(counter(at_least=1)),)
