"""The plugin of flake8; it needs flake8 only to be run by it."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any, ClassVar

from lab.audit.judge import audit_tree
from lab.audit.project import Project

_PROJECT = Project()
"""What the files of one run hand on to each other; flake8 shows them one by one."""


class Plugin:
    """Yields the findings of one file as flake8 wants them: line, column from 0, "CODE text", class."""

    name: ClassVar[str] = "lab-audit"
    version: ClassVar[str] = version("resilience-lab")

    def __init__(self, tree: ast.Module, lines: Sequence[str], filename: str = "") -> None:
        self._tree = tree
        self._lines = lines
        self._filename = filename if filename.endswith(".py") else ""

    def run(self) -> Iterator[tuple[int, int, str, type[Any]]]:
        """Audit the file."""
        try:
            findings = audit_tree(self._tree, self._lines, self._filename, project=_PROJECT)
        except RecursionError:
            return  # flake8 has no word for it; lab audit tells of it
        for one in findings:
            yield one.line, one.column - 1, f"{one.rule.code} {one.rule.title}: {one.seen}", type(self)
