"""What rules say is true of the lab: their proofs exist, their page is written from them, their words are sentences."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from lab.audit import RULES, Rule, audit_source, choose_rules
from lab.audit.page import markdown
from lab.errors import UsageError
from lab.scenarios import SCENARIOS
from lab.studies.shipped import STUDIES
from lab.validate.policies.wrong import WRONG

PAGE = Path(__file__).parents[3] / "docs" / "audit.md"

PROOFS = {f"run {name}" for name in (*SCENARIOS, *STUDIES)} | {
    f"validate lab.validate.policies.wrong:{name}" for name in WRONG
}


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_a_rule_names_a_proof_that_exists(rule: Rule) -> None:
    assert rule.proof in PROOFS, rule.proof


@pytest.mark.parametrize("rule", RULES.values(), ids=lambda rule: rule.code)
def test_why_and_how_to_mend_it_are_a_sentence_each(rule: Rule) -> None:
    assert re.fullmatch(r"LAB\d{3}", rule.code)
    for said in (rule.why, rule.mend):
        assert re.match(r"[A-Z]|[\w.]+[(=]", said), said  # or it begins with a piece of code
        assert said[-1] in ".)", said
    assert not rule.title.endswith(".")


def test_the_page_is_written_from_the_rules() -> None:
    """If it differs: python -m lab.audit.page > docs/audit.md, and read it."""
    assert PAGE.read_text(encoding="utf-8") == markdown(RULES.values())


def test_rules_are_chosen_and_left_out_by_their_codes() -> None:
    assert [rule.code for rule in choose_rules(["LAB202", "LAB101"], [])] == ["LAB101", "LAB202"]
    assert {rule.code for rule in choose_rules([], ["LAB101"])} == set(RULES) - {"LAB101"}
    assert choose_rules(["LAB101"], ["LAB101"]) == []


def test_an_unknown_code_answers_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"unknown rule 'LAB9101': did you mean LAB101"):
        choose_rules([], ["LAB9101"])


SLEEP = "import time\nasync def f():\n    {}\n"


@pytest.mark.parametrize(
    ("line", "codes"),
    [
        ("time.sleep(1)", ["LAB202"]),
        ("time.sleep(1)  # noqa", []),
        ("time.sleep(1)  # noqa: LAB202", []),
        ("time.sleep(1)  # NOQA:lab202", []),
        ("time.sleep(1)  # noqa: E501, LAB202 - on purpose", []),
        ("time.sleep(1)  # noqa: LAB201", ["LAB202"]),
        ("time.sleep(1)  # noqa: E501", ["LAB202"]),
        ("x = [  # noqa: LAB202\n        time.sleep(1),\n    ]", []),
        ("x = [\n        time.sleep(1),  # noqa: LAB202\n    ]", []),
        ("x = [\n        time.sleep(1),\n    ]  # noqa: LAB202", ["LAB202"]),
        ("if True:  # noqa: LAB202\n        time.sleep(1)", ["LAB202"]),
    ],
)
def test_noqa_silences_its_line_and_the_statement_that_begins_there(line: str, codes: list[str]) -> None:
    judged = audit_source(SLEEP.format(line).encode(), "x.py")
    assert isinstance(judged, tuple)
    assert [one.rule.code for one in judged] == codes


def test_columns_count_characters_not_bytes() -> None:
    judged = audit_source(SLEEP.format("x = 'äöü', time.sleep(1)").encode(), "x.py")
    assert isinstance(judged, tuple)
    assert [(one.line, one.column, one.source) for one in judged] == [(3, 16, "x = 'äöü', time.sleep(1)")]


def test_a_query_that_grows_by_itself_for_long_is_judged_with_bounded_effort() -> None:
    """Each of these lines may refer to every other one: followed one by one, they would never end."""
    lines = "".join(f"    query = query.where({number})\n" for number in range(300))
    source = f"from sqlalchemy import select\ndef f():\n    query = select(1)\n{lines}    query.join('x')\n"
    judged = audit_source(source.encode(), "x.py")
    assert isinstance(judged, tuple)
    assert [one.rule.code for one in judged] == ["LAB110"]


def test_names_that_stand_for_each_other_come_to_an_end() -> None:
    source = "from sqlalchemy import select\na = b\nb = a\nc = c.where(c)\na.join('x'); c.join('x')\n"
    assert audit_source(source.encode(), "x.py") == ()
