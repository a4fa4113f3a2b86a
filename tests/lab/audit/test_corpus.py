"""Every planted mistake is found at its line and nothing else; nothing is found in good code, nor in the lab's own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.audit import RULES, Trouble, audit_paths, audit_source

ROOT = Path(__file__).parents[3]
CORPUS = Path(__file__).parent / "corpus"
BAD = sorted((CORPUS / "bad").rglob("*.py"))
GOOD = sorted((CORPUS / "good").rglob("*.py"))
EXPECT = re.compile(r"# expect: (.+)$")

FEWEST = {"LAB102": 1, "LAB106": 2, "LAB109": 1, "LAB112": 1, "LAB113": 1}
"""Planted mistakes of a rule that has one form; of the others there are at least two."""


def planted(source: str) -> list[tuple[int, str]]:
    """Return line and code of every mistake that the comments of a file announce."""
    return sorted(
        (number, code.strip())
        for number, line in enumerate(source.split("\n"), 1)
        if (match := EXPECT.search(line))
        for code in match[1].split(",")
    )


def found(path: Path) -> list[tuple[int, str]]:
    judged = audit_source(path.read_bytes(), str(path))
    assert not isinstance(judged, Trouble), judged
    return sorted((one.line, one.rule.code) for one in judged)


@pytest.mark.parametrize("path", BAD, ids=lambda path: path.stem)
def test_every_planted_mistake_is_found_at_its_line_and_nothing_else(path: Path) -> None:
    assert found(path) == planted(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_nothing_is_found_in_good_code(path: Path) -> None:
    assert found(path) == []


@pytest.mark.parametrize("code", RULES)
def test_every_rule_has_its_mistakes_in_the_corpus(code: str) -> None:
    everything = [one for path in BAD for _, one in planted(path.read_text(encoding="utf-8"))]
    assert everything.count(code) >= FEWEST.get(code, 2)


def test_nothing_is_found_in_the_lab_itself() -> None:
    audit = audit_paths(ROOT / name for name in ("lab", "faults", "benchmarks", "examples") if (ROOT / name).is_dir())
    assert [f"{one.path}:{one.line} {one.rule.code} {one.seen}" for one in audit.findings] == []
    assert audit.files > 100
    assert audit.good


def test_the_mistakes_that_the_lab_makes_on_purpose_are_silenced_one_by_one() -> None:
    """Else the test above would not look at them at all."""
    path = ROOT / "lab" / "validate" / "policies" / "wrong.py"
    shown = audit_source(path.read_bytes().replace(b"noqa", b"seen"), str(path))
    assert not isinstance(shown, Trouble)
    assert {one.rule.code for one in shown} == {"LAB202", "LAB411", "LAB421"}
