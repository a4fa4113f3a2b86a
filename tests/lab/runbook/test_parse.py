"""A runbook that is wrong is told so, with file and line, before anything runs."""

from __future__ import annotations

import pytest

from lab.clusters.base import Capability
from lab.errors import MalformedFile
from lab.runbook import check, parse
from lab.runbook.model import Answers, App, Expected, Line, Restore, Strike

GOOD = """\
---
needs: gateway loss
detect: 5 s
recover: 5 s
error-rate: 50 %
p99: 8 s
---

# A node is lost

## Symptom

It is gone.

```lab inject
when node kill: kill one node
otherwise: gateway one node down
```

## Signals

```lab observe
answers every node => < 3
app served
```

## Diagnosis

```lab observe
answers {node} => = 0
```

## Remedy

```lab act
gateway {node} up
```

## Verification

```lab verify
answers every node => = 3
```

## Prevention

Have three.
"""


def line_of(text: str, sign: str) -> int:
    """Return the number of the first line with *sign* in it."""
    return next(number for number, line in enumerate(text.splitlines(), 1) if sign in line)


def test_a_runbook_is_read_as_it_is_written() -> None:
    runbook = parse(GOOD, "books/node-lost.md")

    assert (runbook.name, runbook.title) == ("node-lost", "A node is lost")
    assert runbook.needs == {Capability.GATEWAY_LOSS}
    assert (runbook.bounds.error_rate, runbook.bounds.p99) == (0.5, 8.0)
    assert [block.kind for block in runbook.blocks] == ["inject", "observe", "observe", "act", "verify"]
    assert runbook.lines("Signals", ()) == [
        Line("answers every node => < 3", 23, Answers("every node"), Expected("<", 3.0)),
        Line("app served", 24, App("served")),
    ]
    assert [line.action for line in runbook.lines("Remedy", ())] == [Restore("gateway-up", "{node}")]


@pytest.mark.parametrize(("facts", "fault"), [((), "gateway of one node down"), (("node kill",), "one node killed")])
def test_of_lines_with_conditions_the_first_that_fits_the_cluster_counts(facts: tuple[str, ...], fault: str) -> None:
    (line,) = parse(GOOD, "x.md").lines("Symptom", facts)

    assert isinstance(line.action, Strike)
    assert str(line.action.fault) == fault


def test_a_good_runbook_has_no_problem() -> None:
    assert check(GOOD, "x.md") == []


WRONG = [
    ("```lab inject", "```lab injekt", "```lab injekt", "unknown block 'injekt': did you mean inject?"),
    ("```lab inject", "```lab act", "```lab act", "a block 'act' belongs into the section Remedy"),
    ("gateway one node down", "gatway one node down", "gatway", "command 'gatway': did you mean gateway?"),
    ("gateway one node down", "toxic latncy latency=1 on n1", "latncy", "did you mean 'latency'?"),
    ("gateway one node down", "toxic latency latency=-1 on n1", "latency=-1", "latency"),
    ("gateway one node down", "rule lost_ak on n1", "lost_ak", "did you mean 'lost_ack'?"),
    ("gateway one node down", "gateway north down", "north", "'north' is no node"),
    ("gateway one node down", "leak many connections", "leak", "it is written: leak N connections"),
    ("when node kill:", "when node kil:", "node kil:", "unknown condition 'node kil': did you mean node kill"),
    ("when node kill: kill one node\n", "", "otherwise", "'otherwise' follows a line with 'when'"),
    ("app served", "app servd", "app servd", "unknown signal 'servd': did you mean served?"),
    ("app served", "$ cockroach nod status", "$ cock", "no such command: 'cockroach nod status'"),
    ("app served", "$ rm -rf /", "$ rm", "no such command"),
    ("app served", "$ cockroach node status ; reboot", "reboot", "only options may stand behind"),
    ("app served", "sql DELETE FROM accounts", "DELETE", "a statement that observes begins with SELECT"),
    ("app served", "app served => about 3", "about", "after => stands"),
    ("app served", "app served => > many", "many", "'many' is no number"),
    ("answers every node => < 3\n", "", "## Signals", "nothing in 'Signals' says what it must give"),
    ("answers every node => = 3", "answers  every node", "answers  every", "ends with what it must give"),
    ("gateway {node} up", "reboot {node}", "reboot", "unknown 'act' command 'reboot'"),
    ("gateway {node} up", "", "```lab act", "this block is empty"),
    ("## Prevention\n\nHave three.\n", "", None, "the section 'Prevention' is missing"),
    ("Have three.\n", "", "## Prevention", "the section 'Prevention' says nothing"),
    ("## Diagnosis", "## Diagnose", "## Diagnose", "unknown section 'Diagnose': did you mean Diagnosis?"),
    ("needs: gateway loss", "needs: gateway los", "needs", "capability 'gateway los': did you mean gateway loss?"),
    ("p99: 8 s", "p98: 8 s", "p98", "unknown setting 'p98': did you mean p99?"),
    ("p99: 8 s", "p99: soon", "p99", "'p99' must be from 0 to 3600 s, not 'soon'"),
    ("p99: 8 s\n", "", "---", "the setting 'p99' is missing"),
    ("# A node is lost\n", "", "---", "there is no title"),
    ("---\nneeds", "needs", "needs", "a runbook begins with its settings"),
]  # fmt: skip
"""What is replaced in a good runbook, by what, a sign of the line to blame (None: the last), and the problem."""


@pytest.mark.parametrize(("right", "wrong", "sign", "problem"), WRONG, ids=[wrong[3] for wrong in WRONG])
def test_what_is_wrong_is_told_with_its_line(right: str, wrong: str, sign: str | None, problem: str) -> None:
    text = GOOD.replace(right, wrong, 1)
    line = line_of(text, sign) if sign else len(text.splitlines())

    told = [str(found) for found in check(text, "books/x.md")]

    assert any(one.startswith(f"books/x.md:{line}: ") and problem in one for one in told), told
    with pytest.raises(MalformedFile):
        parse(text, "books/x.md")


def test_sections_out_of_their_order_are_told() -> None:
    signals, remedy = GOOD.index("## Signals"), GOOD.index("## Remedy")
    text = GOOD[:signals] + GOOD[remedy:] + GOOD[signals:remedy]

    assert "'Remedy' stands where 'Signals' belongs" in " ".join(map(str, check(text, "x.md")))


def test_a_block_without_its_end_is_told() -> None:
    text = GOOD.replace("answers every node => = 3\n```", "answers every node => = 3")

    assert str(check(text, "x.md")[0]).startswith(f"x.md:{line_of(text, 'lab verify')}: this block has no end")


@pytest.mark.parametrize(
    "text", ["", "---", "---\n---", "#", "```lab inject", "```lab", "\0", "## Symptom\n```lab act"]
)
def test_garbage_is_told_and_nothing_worse(text: str) -> None:
    assert check(text, "x.md")
