"""What some order explains passes, what none explains does not: against executions and against all orders."""

from __future__ import annotations

from hypothesis import given, settings

from lab.checks.cycles import serializable
from lab.history import History
from lab.verdict import Verdict
from tests.lab.checks.cycles.made import any_reads, serial_executions, some_order_explains

STRICT = serializable("list-append", level="strict-serializable")
STRICT_REGISTERS = serializable("rw-register", level="strict-serializable")


@given(history=serial_executions())
def test_what_was_executed_one_by_one_is_never_refused(history: History) -> None:
    finding = STRICT(history)

    assert finding.verdict is not Verdict.FAIL, finding.why
    assert finding.anomalies == ()


@given(history=serial_executions(registers=True))
def test_registers_that_were_used_one_by_one_are_never_refused(history: History) -> None:
    finding = STRICT_REGISTERS(history)

    assert finding.verdict is not Verdict.FAIL, finding.why
    assert finding.anomalies == ()


@settings(max_examples=150)
@given(history=any_reads())
def test_lists_are_serializable_exactly_if_some_order_explains_every_read(history: History) -> None:
    finding = serializable("list-append")(history)

    if finding.verdict is not Verdict.INCONCLUSIVE:
        assert (finding.verdict is Verdict.PASS) == some_order_explains(history), finding.why


@settings(max_examples=150)
@given(history=any_reads())
def test_lists_are_strictly_so_exactly_if_that_order_keeps_to_the_clock(history: History) -> None:
    finding = STRICT(history)

    if finding.verdict is not Verdict.INCONCLUSIVE:
        assert (finding.verdict is Verdict.PASS) == some_order_explains(history, realtime=True), finding.why


@settings(max_examples=150)
@given(history=any_reads(registers=True))
def test_registers_are_refused_only_if_no_order_explains_the_reads(history: History) -> None:
    for check, realtime in ((serializable("rw-register"), False), (STRICT_REGISTERS, True)):
        finding = check(history)

        if finding.verdict is Verdict.FAIL:
            assert not some_order_explains(history, realtime=realtime, registers=True), finding.why
