"""``lab audit``: what the lab can prove harmful, found in a user's source."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click

from lab.audit import audit_paths, choose_rules
from lab.audit.render import report, to_json
from lab.audit.sarif import to_sarif
from lab.commands._bar import counting
from lab.console import FilePath, err, json_option, out, print_json
from lab.errors import UsageError


@click.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...", type=FilePath(path_type=Path))
@json_option
@click.option("--sarif", is_flag=True, help="print SARIF 2.1.0 on stdout, and nothing else")
@click.option("--select", multiple=True, metavar="CODES", help="only these rules: LAB201,LAB202; may be repeated")
@click.option("--ignore", multiple=True, metavar="CODES", help="all rules but these; may be repeated")
def audit(paths: tuple[Path, ...], as_json: bool, sarif: bool, select: tuple[str, ...], ignore: tuple[str, ...]) -> int:
    """Find in Python source what the lab can prove harmful.

    PATHs are files, or folders with .py files. Nothing of them is run. Exits with 1 if there are findings, or files
    that do not parse. `# noqa: LAB201` silences a rule on its line; docs/audit.md lists the rules.
    """
    if as_json and sarif:
        raise UsageError("--json and --sarif both want stdout: choose one")
    rules = choose_rules(_codes(select), _codes(ignore))
    with counting(err, "reading") as tell:
        found = audit_paths(paths, rules=rules, tell=tell)
    if as_json:
        print_json(to_json(found))
    elif sarif:
        print_json(to_sarif(found, rules, version("resilience-lab")))
    else:
        out.print(report(found), soft_wrap=True)
    return 0 if found.good else 1


def _codes(written: tuple[str, ...]) -> list[str]:
    """Return the codes of an option that may be repeated and hold several, separated by commas."""
    return [code.strip().upper() for part in written for code in part.split(",")]
