"""Source in, findings out: each file is parsed once and walked once, and every rule asks about what it knows."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lab._collector import no_collector
from lab.audit.files import find, read
from lab.audit.findings import Audit, Finding, Skipped, Trouble
from lab.audit.module import Module
from lab.audit.project import Project
from lab.audit.retrying import Retry, find_retries
from lab.audit.rule import Rule
from lab.audit.rules import RULES
from lab.errors import unknown_name

_NOQA = re.compile(r"#\s*noqa\b(?::\s*(?P<codes>[A-Z]+[0-9]+(?:[,\s]+[A-Z]+[0-9]+)*))?", re.IGNORECASE)
_RELEVANT = re.compile(
    rb"\b(from|import)\s[\w., \t]*(sqlalchemy|sqlmodel|asyncpg|psycopg)|\basync\s+def\b|(?i:session|engine|conn|query)"
)
"""What a file has to import or define before any rule can say anything about it."""


def audit_paths(
    paths: Iterable[Path],
    *,
    rules: Sequence[Rule] = tuple(RULES.values()),
    tell: Callable[[int], None] = lambda _: None,
) -> Audit:
    """Audit files and folders; *tell* hears of each file, with the number of those that are known by then.

    Files that cannot be parsed become troubles, and the rest is audited. Raises UsageError for a path that is absent.
    """
    places = list(find(paths))
    project = Project(one for one in places if isinstance(one, Path))
    findings: list[Finding] = []
    troubles: list[Trouble] = []
    skipped: list[Skipped] = []
    files = 0
    with no_collector():
        for place in places:
            content = place if isinstance(place, Skipped) else read(place)
            if isinstance(content, Skipped):
                skipped.append(content)
            elif isinstance(content, Trouble):
                troubles.append(content)
            else:
                files += 1
                found = audit_source(content, str(place), rules=rules, project=project)
                if isinstance(found, Trouble):
                    troubles.append(found)
                else:
                    findings.extend(found)
            tell(len(places))
        project.forget()
    return Audit(files, tuple(findings), tuple(troubles), tuple(skipped))


def audit_source(
    source: bytes, path: str, *, rules: Sequence[Rule] = tuple(RULES.values()), project: Project | None = None
) -> tuple[Finding, ...] | Trouble:
    """Return the findings of one file, in the order of its lines, or why it cannot be judged.

    Names that it imports are followed through the files of the *project*, else through those of its own package.
    """
    project = project or Project()
    try:
        tree = project.parsed(source, path)
        found = audit_tree(tree, _lines(source), path, rules=rules, project=project) if _RELEVANT.search(source) else ()
        project.judged(tree, path)
        return tuple(found)
    except SyntaxError as error:
        return Trouble(path, error.lineno or 0, f"does not parse: {error.msg}")
    except ValueError as error:
        return Trouble(path, 0, f"does not parse: {error}")
    except (RecursionError, MemoryError):
        return Trouble(path, 0, "is nested too deeply to be judged")


def audit_tree(
    tree: ast.Module,
    lines: Sequence[str],
    path: str,
    *,
    rules: Sequence[Rule] = tuple(RULES.values()),
    project: Project | None = None,
) -> list[Finding]:
    """Return the findings of a parsed file, in the order of its *lines*, without those that a ``noqa`` silences."""
    module = Module(tree, path, project or Project())
    module.nodes[Retry] = find_retries(module)
    found = {}
    for rule in rules:
        for node in rule.candidates(module):
            for place, seen in rule.check(module, node):
                finding = _finding(rule, place, seen, lines, path)
                head = getattr(module.statement_of(place), "lineno", finding.line)
                if not any(_silenced(lines, line, rule.code) for line in (finding.line, head)):
                    found[finding.line, finding.column, rule.code] = finding
    return [found[key] for key in sorted(found)]


def choose_rules(select: Sequence[str], ignore: Sequence[str]) -> list[Rule]:
    """Return the rules of the codes in *select* (all if there are none) without those in *ignore*.

    Raises UsageError with the nearest codes for an unknown one.
    """
    for code in (*select, *ignore):
        if code not in RULES:
            raise unknown_name("rule", code, RULES)
    return [rule for code, rule in RULES.items() if (not select or code in select) and code not in ignore]


def _finding(rule: Rule, place: ast.AST, seen: str, lines: Sequence[str], path: str) -> Finding:
    line, offset = getattr(place, "lineno", 1), getattr(place, "col_offset", 0)
    written = lines[line - 1] if line <= len(lines) else ""
    column = len(written.encode()[:offset].decode(errors="replace")) + 1  # the parser counts bytes
    return Finding(rule, path, line, column, " ".join(seen.split()), written.strip())


def _silenced(lines: Sequence[str], line: int, code: str) -> bool:
    match = _NOQA.search(lines[line - 1]) if 0 < line <= len(lines) else None
    if match is None:
        return False
    codes = match["codes"]
    return codes is None or code in re.split(r"[,\s]+", codes.upper())


def _lines(source: bytes) -> list[str]:
    # As the parser does: by the coding cookie, and \f ends no line.
    encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
    return io.TextIOWrapper(io.BytesIO(source), encoding, errors="replace").read().split("\n")
