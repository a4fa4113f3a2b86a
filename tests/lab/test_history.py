"""A history is a plain value that answers simple questions about itself."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lab.history import FaultSpan, History, Operation, Outcome, percentile
from tests.lab.checks.histories import correct

TIMES = st.lists(st.floats(0, 1e6), min_size=1).map(sorted)


@given(seed=st.integers(0, 2**32))
def test_every_operation_has_one_outcome(seed: int) -> None:
    history = correct(seed)
    assert sum(history.count(outcome) for outcome in Outcome) == len(history.operations)


@given(seed=st.integers(0, 2**32))
def test_kinds_divide_the_operations_and_writes_are_those_with_a_unit(seed: int) -> None:
    history = correct(seed)
    assert [*history.writes] == [*history.of_kind("transfer")]
    assert len([*history.of_kind("read")]) + len(history.writes) == len(history.operations)


def test_an_operation_that_never_came_back_took_for_ever_and_is_not_among_the_finished() -> None:
    ended = Operation(0, 0, "read", None, Outcome.OK, 1.0, 3.5)
    lost = Operation(1, 0, "read", None, Outcome.INFO, 1.0, None)
    assert (ended.seconds, lost.seconds) == (2.5, math.inf)
    assert History((ended, lost)).finished().operations == (ended,)


def test_a_run_is_healed_when_its_last_fault_is() -> None:
    late, early = FaultSpan(1, "a", armed=0.0, healed=9.0), FaultSpan(2, "b", armed=1.0, healed=2.0)
    assert History(faults=(late, early)).healed == 9.0
    assert History().healed == 0.0


@pytest.mark.parametrize(("events", "fired"), [(0, False), (1, True)])
def test_a_fault_has_fired_when_it_did_something(events: int, fired: bool) -> None:
    assert FaultSpan(1, "a", armed=0.0, healed=9.0, events=events).fired is fired


@given(seed=st.integers(0, 2**32))
def test_histories_of_the_same_events_are_equal(seed: int) -> None:
    assert correct(seed) == correct(seed)
    assert correct(seed) != replace(correct(seed), complete=False)


@given(values=TIMES, share=st.floats(0, 1))
def test_a_percentile_is_a_value_that_so_large_a_share_does_not_exceed(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-6


@given(values=TIMES)
def test_the_percentiles_at_the_ends_are_the_least_and_the_greatest(values: list[float]) -> None:
    assert percentile(values, 0.0) == values[0]
    assert percentile(values, 1.0) == values[-1]


@pytest.mark.parametrize("percent", range(1, 101))
def test_percentiles_of_a_hundred_numbers_are_those_numbers(percent: int) -> None:
    assert percentile([float(number) for number in range(1, 101)], percent / 100) == percent


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 0.5))
