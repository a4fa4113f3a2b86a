"""What docs/rehearse.md says of runbooks is what there is."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from lab.commands.rehearse import rehearse
from lab.runbook import check, shipped
from lab.runbook.forms import FORMS, SIGNALS
from lab.runbook.grammar import read_line
from lab.runbook.model import BELONGS, Kind
from lab.runbook.parse import KEYS
from tests.conformance.test_docs import ROOT
from tests.lab.runbook.test_parse import GOOD

PAGE = (ROOT / "docs" / "rehearse.md").read_text(encoding="utf-8")
KINDS: tuple[Kind, ...] = ("inject", "observe", "act")
EXAMPLES: tuple[tuple[Kind, str], ...] = (
    ("inject", "isolate the leaseholder"),
    ("inject", "toxic latency latency=100 stream=upstream toxicity=0.5 on {node}"),
    ("inject", "rule lost_ack times=3 on every node"),
    ("observe", "when cockroach program: $ cockroach node ls --format=csv"),
    ("observe", "app errors 40001 => >= 1"),
    ("act", "take n1 out"),
    ("act", "roll every node"),
)


@pytest.mark.parametrize("name", shipped())
def test_a_runbook_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("signal", SIGNALS)
def test_a_signal_is_explained(signal: str) -> None:
    assert re.search(rf"`{signal}( NAME)?`", PAGE)


@pytest.mark.parametrize(("kind", "verb"), [(kind, verb) for kind in KINDS for verb in FORMS[kind]])
def test_a_command_is_in_the_row_of_its_block(kind: Kind, verb: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith((f"| {kind} |", f"| {kind}, "))]

    assert re.search(rf"`{re.escape(verb)}[ `]", row)


@pytest.mark.parametrize("key", KEYS)
def test_a_setting_is_explained(key: str) -> None:
    assert re.search(rf"`{key}[`:]", PAGE)


@pytest.mark.parametrize("section", BELONGS)
def test_a_section_has_its_row(section: str) -> None:
    assert f"| {section} |" in PAGE


@pytest.mark.parametrize(("kind", "text"), EXAMPLES)
def test_what_the_page_promises_can_be_written(kind: Kind, text: str) -> None:
    assert read_line(kind, text, 1).text in text


@pytest.mark.parametrize("command", re.findall(r"^lab rehearse.*?(?=\s+#|$)", PAGE, re.MULTILINE))
def test_the_commands_of_the_page_are_understood(command: str) -> None:
    words = shlex.split(command)[2:]

    context = rehearse.make_context("rehearse", words)

    assert isinstance(context, click.Context)
    assert set(context.params["runbooks"]) <= set(shipped())


def test_the_page_follows_what_the_checker_wants(tmp_path: Path) -> None:
    assert check(GOOD.replace("p99: 8 s", "p99: 8 s\nplanned: yes"), str(tmp_path)) == []
    assert "'planned' must be yes or no" in str(check(GOOD.replace("p99: 8 s", "p99: 8 s\nplanned: x"), "x.md")[0])
