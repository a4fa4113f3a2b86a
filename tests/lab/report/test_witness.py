"""The picture of a witness shows each transaction once, each dependency, and the sentences; DOT says the same."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from lab.checks.cycles import serializable
from lab.history import History
from lab.report.witness import MOST_NODES, dot, label_of, svg
from lab.verdict import Anomaly
from tests.lab.checks.cycles.made import history, txn
from tests.lab.checks.cycles.test_anomalies import LISTS

SVG = "{http://www.w3.org/2000/svg}"


def witness(name: str) -> tuple[History, Anomaly, dict[int, str]]:
    """Return a history with an anomaly, its witness, and what its transactions did."""
    made = history(*LISTS[name])
    finding = serializable("list-append", level="strict-serializable")(made)
    (anomaly, *_) = [anomaly for anomaly in finding.anomalies if anomaly.name == name]
    return made, anomaly, {operation.index: label_of(operation) for operation in made.operations}


@pytest.mark.parametrize("name", ["G2-item", "G-nonadjacent", "G1a", "G-single-realtime"])
def test_a_picture_holds_every_transaction_once_and_every_reason(name: str) -> None:
    _, anomaly, labels = witness(name)

    picture = ET.fromstring(svg(anomaly, labels))  # noqa: S314 - our own
    words = [text.text for text in picture.iter(f"{SVG}text")]

    assert all(words.count(f"T{index}") == 1 for index in anomaly.operations)
    assert all(labels[index] in words for index in anomaly.operations)
    assert all(f"{step.kind}: {step.because}" in words for step in anomaly.cycle)
    assert len(picture.findall(f"{SVG}path")) == len(anomaly.cycle)


def test_a_picture_of_a_long_cycle_says_how_many_steps_it_leaves_out() -> None:
    size = 40
    ring = [txn(["r", n, []], ["append", (n + 1) % size, 1], at=(0, 1)) for n in range(size)]
    (anomaly,) = serializable("list-append")(history(*ring)).anomalies

    assert len(anomaly.cycle) == size
    assert f"… {size - MOST_NODES} more …" in svg(anomaly, {})


def test_what_people_wrote_into_keys_and_values_cannot_break_a_picture() -> None:
    made = history(txn(["append", '<k"&>', '"\\'], outcome="fail"), txn(["r", '<k"&>', ['"\\']]))
    (anomaly,) = serializable("list-append")(made).anomalies

    ET.fromstring(svg(anomaly, {operation.index: label_of(operation) for operation in made.operations}))  # noqa: S314
    assert "<k" not in svg(anomaly, {})


def test_dot_has_a_line_for_each_transaction_and_each_dependency() -> None:
    _, anomaly, labels = witness("G2-item")

    assert dot(anomaly, labels).splitlines()[2:-1] == [
        '  T0 [label="T0\\nr a [], append b 1"];',
        '  T1 [label="T1\\nr b [], append a 1"];',
        '  T0 -> T1 [label="rw", color="#b4235a", tooltip="T0 read key a as [], without T1\'s append of 1"];',
        '  T1 -> T0 [label="rw", color="#b4235a", tooltip="T1 read key b as [], without T0\'s append of 1"];',
    ]
