"""What an audit says: findings, files that could not be judged, files that were left out."""

from __future__ import annotations

from dataclasses import dataclass

from lab.audit.rule import Rule


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake at one place: *line* and *column* count from 1, columns in characters; *seen* is what is there."""

    rule: Rule
    path: str
    line: int
    column: int
    seen: str
    source: str = ""
    """The line as it is written, without its indent."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """A file that cannot be judged; *line* is 0 when no line is to blame."""

    path: str
    line: int
    problem: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that was left out, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Audit:
    """What was found in *files* files, in the order of their paths; good when there is neither finding nor trouble."""

    files: int
    findings: tuple[Finding, ...]
    troubles: tuple[Trouble, ...]
    skipped: tuple[Skipped, ...]

    @property
    def good(self) -> bool:
        """Tell whether every file was judged, and nothing was found."""
        return not self.findings and not self.troubles
