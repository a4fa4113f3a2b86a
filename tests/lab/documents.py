"""The fenced blocks of the documentation, and the commands in them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    ROOT / "examples" / "orders" / "README.md",
]
_FENCE = re.compile(
    r"(?:^<!-- (?:file|run): (?P<file>\S+) -->\n)?^ *```(?P<language>[^\n]*)\n(?P<body>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)
_COMMENT = re.compile(r"(?:^|\s)#\s.*$")
_INTO = re.compile(r"\s>\s*[^\s;]+")
_ENDS = re.compile(r"\s(?:&&|\|)\s|;\s")
"""What ends a command within its line."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; *file* is the name under which the commands of its page find it."""

    page: str
    line: int
    language: str
    body: str
    file: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def shown(self) -> list[tuple[str, list[str]]]:
        """Return each command line, and the output shown below it: what begins with no ``$`` where others do."""
        lines = self.body.replace("\\\n", " ").splitlines()
        prompts = any(line.startswith("$ ") for line in lines)
        told: list[tuple[str, list[str]]] = []
        for line in lines:
            if not prompts or line.startswith("$ "):
                told.append((line.removeprefix("$ ").strip(), []))
            else:
                told[-1][1].append(line)
        return [(command, output) for command, output in told if command]

    @property
    def commands(self) -> list[list[str]]:
        """Return the words of each command, without comments and redirections."""
        lines = [_INTO.sub("", _COMMENT.sub("", line)) for line, _ in self.shown]
        return [words(part) for line in lines for part in _ENDS.split(line) if words(part)]


def words(command: str) -> list[str]:
    """Return the words of a command, without its comment."""
    return shlex.split(command.replace("$(", "'$(").replace(")", ")'") if "$(" in command else command, comments=True)


def blocks() -> Iterator[Block]:
    """Yield every fenced block of the documentation."""
    for path in PAGES:
        content = path.read_text(encoding="utf-8")
        for found in _FENCE.finditer(content):
            line = content.count("\n", 0, found.start("language")) + 1
            page = path.relative_to(ROOT).as_posix()
            yield Block(page, line, found["language"].strip(), found["body"], found["file"] or "")


def alike(shown: str, real: str) -> bool:
    """Tell whether a line of output is what the page shows: ``...`` is anything, and seconds are any."""
    pattern = re.escape(" ".join(shown.split())).replace(re.escape("..."), ".*")
    return re.fullmatch(re.sub(r"\d+\\\.\d+\\ s", r"[\\d.]+\\ s", pattern), " ".join(real.split())) is not None
