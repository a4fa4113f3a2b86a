"""Markdown to a runbook: sections in their order, blocks in their sections, every problem with its line. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

from lab.clusters.base import Capability, needs_of
from lab.errors import MalformedFile
from lab.runbook.forms import Wrong, unknown
from lab.runbook.grammar import read_line
from lab.runbook.model import BELONGS, SECTIONS, Block, Bounds, Group, Kind, Line, Runbook, Stale, Storm, Strike

KEYS: Final = ("needs", "detect", "recover", "error-rate", "p99", "planned")
LONGEST: Final = 3600.0
FENCE = re.compile(r"(`{3,}|~{3,})\s*(.*?)\s*$")
HEADING = re.compile(r"(#{1,6})\s+(.*?)\s*#*\s*$")
KINDS: Final[tuple[Kind, ...]] = ("inject", "observe", "act", "verify")


def parse(text: str, path: str) -> Runbook:
    """Read a runbook; raise MalformedFile for the first thing that is wrong with it."""
    reader = _Reader(text, path)
    problems = reader.problems()
    if problems:
        raise problems[0]
    return reader.runbook()


def check(text: str, path: str) -> list[MalformedFile]:
    """Return all that is wrong with a runbook, in order of lines."""
    return _Reader(text, path).problems()


@dataclass
class _Fence:
    info: str
    line: int
    section: str
    lines: list[tuple[int, str]] = field(default_factory=list)


class _Reader:
    """Reads once, keeps going after a problem, and tells all of them."""

    def __init__(self, text: str, path: str) -> None:
        self._path = path
        self._found: list[MalformedFile] = []
        self._settings: dict[str, tuple[int, str]] = {}
        self._title = ""
        self._sections: dict[str, tuple[int, list[str]]] = {}
        self._fences: list[_Fence] = []
        lines = text.splitlines()
        self._read_body(lines, self._read_settings(lines))
        self._last = max(1, len(lines))
        self._blocks = [block for fence in self._fences for block in self._block(fence)]
        self._bounds = self._read_bounds()
        self._needs = self._read_needs()
        self._check_planned()
        self._check_sections()

    def problems(self) -> list[MalformedFile]:
        return sorted(self._found, key=lambda problem: problem.line)

    def runbook(self) -> Runbook:
        return Runbook(
            name=PurePath(self._path).stem,
            path=self._path,
            title=self._title,
            needs=self._needs,
            bounds=self._bounds,
            planned=self._settings.get("planned", (0, "no"))[1] == "yes",
            blocks=tuple(self._blocks),
            sections=tuple((name, "\n".join(text).strip()) for name, (_, text) in self._sections.items()),
        )

    def _wrong(self, line: int, problem: str) -> None:
        self._found.append(MalformedFile(self._path, line, problem))

    # --- the settings at the top ------------------------------------------------------------------------------------

    def _read_settings(self, lines: list[str]) -> int:
        """Read what stands between two lines of ---, and return where the text begins (0-based)."""
        if not lines or lines[0].strip() != "---":
            self._wrong(1, f"a runbook begins with its settings between two lines of ---: {', '.join(KEYS)}")
            return 0
        for number, line in enumerate(lines[1:], 2):
            if line.strip() == "---":
                return number
            key, colon, value = line.partition(":")
            if not colon:
                self._wrong(number, f"'{line.strip()}' is no setting, which is written: name: value")
            elif key.strip() not in KEYS:
                self._wrong(number, unknown("setting", key.strip(), KEYS))
            elif key.strip() in self._settings:
                self._wrong(number, f"'{key.strip()}' is set twice")
            else:
                self._settings[key.strip()] = (number, value.strip())
        self._wrong(len(lines), "the settings have no end: a line of --- is missing")
        return len(lines)

    def _read_bounds(self) -> Bounds:
        share = self._number("error-rate", "%", 100.0) / 100
        return Bounds(
            detect=self._number("detect", "s", LONGEST),
            recover=self._number("recover", "s", LONGEST),
            error_rate=share,
            p99=self._number("p99", "s", LONGEST),
        )

    def _number(self, key: str, unit: str, most: float) -> float:
        line, value = self._settings.get(key, (1, ""))
        if not value:
            self._wrong(line, f"the setting '{key}' is missing, in {unit}")
            return 0.0
        try:
            number = float(value.removesuffix(unit))
        except ValueError:
            number = math.nan
        if not 0 <= number <= most:
            self._wrong(line, f"'{key}' must be from 0 to {most:g} {unit}, not '{value}'")
        return number

    def _read_needs(self) -> frozenset[Capability]:
        line, value = self._settings.get("needs", (1, ""))
        needed = set()
        for name in (part.strip() for part in value.split(",") if part.strip()):
            try:
                needed.add(Capability(name))
            except ValueError:
                self._wrong(line, unknown("capability", name, [capability.value for capability in Capability]))
        return frozenset(needed)

    def _check_planned(self) -> None:
        line, value = self._settings.get("planned", (0, "no"))
        if value not in ("yes", "no"):
            self._wrong(line, f"'planned' must be yes or no, not '{value}'")

    # --- the text ---------------------------------------------------------------------------------------------------

    def _read_body(self, lines: list[str], start: int) -> None:
        section, fence, mark = "", None, ""
        for number, line in enumerate(lines[start:], start + 1):
            matched = FENCE.match(line.strip())
            if fence is not None:
                if matched and matched[1].startswith(mark) and not matched[2]:
                    fence = None
                else:
                    fence.lines.append((number, line))
            elif matched:
                mark, fence = matched[1], _Fence(matched[2], number, section)
                self._fences.append(fence)
            elif heading := HEADING.match(line):
                section = self._heading(number, len(heading[1]), heading[2], section)
                continue
            if section in self._sections:
                self._sections[section][1].append(line)
        if fence is not None:
            self._wrong(fence.line, "this block has no end: a line of ``` is missing")

    def _heading(self, number: int, level: int, text: str, section: str) -> str:
        if level == 1:
            if self._title:
                self._wrong(number, "a second title")
            self._title = text
            return section
        if level > 2:
            return section
        if text not in SECTIONS:
            self._wrong(number, unknown("section", text, SECTIONS))
        elif text in self._sections:
            self._wrong(number, f"the section '{text}' is there twice")
        else:
            self._sections[text] = (number, [])
        return text

    def _check_sections(self) -> None:
        if not self._title:
            self._wrong(1, "there is no title: a line that begins with #")
        for name in SECTIONS:
            if name not in self._sections:
                self._wrong(self._last, f"the section '{name}' is missing")
            elif not any(line.strip() for line in self._sections[name][1]):
                self._wrong(self._sections[name][0], f"the section '{name}' says nothing")
        found = list(self._sections)
        in_order = [name for name in SECTIONS if name in self._sections]
        for name, right in zip(found, in_order, strict=True):
            if name != right:
                self._wrong(self._sections[name][0], f"'{name}' stands where '{right}' belongs")
                break
        for name, kind in BELONGS.items():
            self._check_blocks(name, kind)

    def _check_blocks(self, section: str, kind: Kind | None) -> None:
        blocks = [block for block in self._blocks if block.section == section]
        if kind is None or section not in self._sections:
            return
        line = self._sections[section][0]
        if not any(fence.info == f"lab {kind}" for fence in self._fences if fence.section == section):
            self._wrong(line, f"the section '{section}' has no block ```lab {kind}")
        lines = [one for block in blocks for group in block.groups for one in group]
        if kind == "observe" and lines and not any(one.expected for one in lines):
            self._wrong(line, f"nothing in '{section}' says what it must give: end a line with => > 0, or the like")

    # --- the blocks -------------------------------------------------------------------------------------------------

    def _block(self, fence: _Fence) -> Iterator[Block]:
        words = fence.info.split()
        if words[:1] != ["lab"]:
            return
        kind = next((kind for kind in KINDS if words[1:] == [kind]), None)
        if kind is None:
            self._wrong(fence.line, unknown("block", " ".join(words[1:]), KINDS))
            return
        if BELONGS.get(fence.section) != kind:
            home = " or ".join(name for name, held in BELONGS.items() if held == kind)
            self._wrong(fence.line, f"a block '{kind}' belongs into the section {home}")
            return
        groups = tuple(self._groups(kind, fence))
        if not groups and not any(problem.line > fence.line for problem in self._found):
            self._wrong(fence.line, "this block is empty")
        yield Block(kind, fence.section, fence.line, groups)

    def _groups(self, kind: Kind, fence: _Fence) -> Iterator[Group]:
        group: list[Line] = []
        for number, text in [*fence.lines, (0, "")]:
            said = text.strip()
            chained = said.startswith(("when ", "otherwise:"))
            if said.startswith("#"):
                continue
            if group and (not chained or group[-1].condition is None):
                yield tuple(group)
                group = []
            if not said:
                continue
            if said.startswith("otherwise:") and not group:
                self._wrong(number, "'otherwise' follows a line with 'when'")
            try:
                line = read_line(kind, said, number)
            except Wrong as error:
                self._wrong(number, str(error))
                continue
            if chained:
                group.append(line)
            else:
                yield (line,)


def needs_of_line(line: Line) -> frozenset[Capability]:
    """Return what a cluster must be able to do for a line that injects."""
    match line.action:
        case Strike(fault=fault):
            return needs_of([fault])
        case Storm() | Stale():
            return frozenset({Capability.WIRE_RULES})
        case _:
            return frozenset()
