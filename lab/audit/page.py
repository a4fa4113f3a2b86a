"""The table of rules as Markdown: docs/audit.md is what ``markdown()`` returns, and a test holds it."""

from __future__ import annotations

from collections.abc import Iterable

from lab.audit.render import command
from lab.audit.rule import Rule

_INTRODUCTION = """\
# What `lab audit` finds

```console
lab audit src/                       # exit 0: nothing; 1: findings, or files that do not parse; 2: a wrong request
lab audit src/ --ignore LAB107       # or --select; both may be repeated, and take several codes with commas
lab audit src/ --json                # for programs
lab audit src/ --sarif > audit.sarif # SARIF 2.1.0, for editors and code hosts
flake8 src/                          # shows the same where flake8 is installed beside the lab
```

The audit reads source, and runs none of it. It reports what the lab can prove: each rule names the command that shows
the harm. It follows imports (relative ones, names handed on, `import *`), annotations (`session: AsyncSession`, and
aliases of `Annotated`), constructors, factories, attributes and `with` from file to file: among all files that are
audited, and in the package of each, audited or not. flake8 hands over one file at a time: there names are followed
through the file's own package. What it cannot be certain of it does not report, because a false alarm costs more than a
miss: a session from a parameter without annotation, or from a function that does not say what it returns, is invisible
to most rules.

`# noqa: LAB201` on the line of a finding, or on the first line of its statement, silences that rule there; `# noqa`
silences all. Not entered: .git, .hg, .mypy_cache, .nox, .tox, .venv, venv, node_modules and `__pycache__`.
Files that do not parse are reported with their line, and the rest is audited. Binary files, files of more than 2 MB and
links that lead round in a circle are skipped, and named.

This page is written from the rules: `python -m lab.audit.page > docs/audit.md`.

| code | what | why | how to mend it | the proof |
|---|---|---|---|---|
"""


def markdown(rules: Iterable[Rule]) -> str:
    """Return the page."""
    return _INTRODUCTION + "".join(_row(rule) for rule in rules)


def _row(rule: Rule) -> str:
    cells = (rule.code, rule.title, rule.why, rule.mend, f"`{command(rule)}`")
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    import sys

    from lab.audit.rules import RULES

    sys.stdout.write(markdown(RULES.values()))
