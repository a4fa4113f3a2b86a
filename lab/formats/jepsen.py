"""Jepsen's histories as events: EDN, JSON and the text log."""

from __future__ import annotations

import codecs
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from lab.formats.edn import Forms, parse, parse_all
from lab.formats.events import Event, Problem, event_of
from lab.formats.plain import Plain
from lab.history import Json

BLOCK = 1 << 16
"""Bytes that are read at a time."""

PARTS = 8
"""Into how many parts a block is split in which some line is not plain."""


def edn_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the events of Jepsen's EDN; raise Problem for what is none."""
    reader = EdnReader()
    for line, block in blocks(file):
        yield from reader.read(block, line)
    yield from reader.end()


def blocks(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield a file in blocks of whole lines, each with the number of its first; a longer line comes in pieces."""
    line, rest = 1, file.read(3).removeprefix(codecs.BOM_UTF8)
    while chunk := file.read(BLOCK):
        rest += chunk
        # A piece of a line ends with a blank: never in the middle of a character.
        end = rest.rfind(b"\n") + 1 or rest.rfind(b" ") + 1
        block, rest = rest[:end], rest[end:]
        yield line, block
        line += block.count(b"\n")
    if rest:
        yield line, rest


@dataclass
class EdnReader:
    """Reads blocks of EDN: plain lines fast, everything else completely."""

    _forms: Forms = field(default_factory=lambda: Forms(enclosed=True))
    _plain: Plain = field(default_factory=Plain)

    def read(self, block: bytes, line: int) -> Iterator[Event]:
        """Yield the events that a block completes; *line* is the number of its first line."""
        if self._forms.idle and (events := self._plain.events(block, line)) is not None:
            yield from events
            return
        lines = block.splitlines(keepends=True) if b"\r" not in block else re.findall(rb"[^\n]*\n|[^\n]+", block)
        if len(lines) == 1:
            yield from self._complete(block, line)
            return
        size = max(1, len(lines) // PARTS)
        for start in range(0, len(lines), size):
            yield from self.read(b"".join(lines[start : start + size]), line + start)

    def end(self) -> Iterator[Event]:
        """Yield what the end of the file completes."""
        return (_edn_event(*found) for found in self._forms.end())

    def _complete(self, block: bytes, line: int) -> Iterator[Event]:
        if self._forms.idle:
            self._forms.line = line
        return (_edn_event(*found) for found in self._forms.feed(text_of(block, line)))


def _edn_event(line: int, form: Json) -> Event:
    if not isinstance(form, dict):
        raise Problem(line, f"an operation is a map such as {{:type :invoke, ...}}, and not {str(form)[:40]}")
    return event_of(line, form)


def text_of(block: bytes, line: int) -> str:
    """Return a block as text; raise Problem if it is no UTF-8."""
    try:
        return block.decode()
    except UnicodeDecodeError as error:
        raise Problem(line + block.count(b"\n", 0, error.start), "not UTF-8") from error


SEPARATORS = re.compile(r"[\s,]*")
FARTHEST = 64
"""Characters before the end of what was read within which an error may only mean that the rest is still to be read."""

LONGEST = 1 << 26
"""Characters that one operation may have."""


def json_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the events of a history in JSON, an array of objects or objects alone; raise Problem for what is none."""
    reader = JsonReader()
    for line, block in blocks(file):
        yield from reader.read(text_of(block, line))
    yield from reader.end()


@dataclass
class JsonReader:
    """Reads objects from text that comes in pieces."""

    _decoder: json.JSONDecoder = field(default_factory=json.JSONDecoder)
    _text: str = ""
    _line: int = 1
    _array: int = 0
    _ended: bool = False

    def read(self, text: str, *, whole: bool = False) -> Iterator[Event]:
        """Yield the events that a piece completes; *whole*: nothing follows."""
        self._text += text
        at = 0
        while (at := self._skip(at)) < len(self._text):
            character = self._text[at]
            if character in "[]":
                self._bracket(character)
                at += 1
                continue
            found = self._object(at, whole=whole)
            if found is None:
                break
            fields, end = found
            yield event_of(self._line, fields)
            self._line += self._text.count("\n", at, end)
            at = end
        self._text = self._text[at:]

    def end(self) -> Iterator[Event]:
        """Yield what is left; raise Problem if the file was cut."""
        yield from self.read("", whole=True)
        if self._array and not self._ended:
            raise Problem(self._line, f"the file ends in the middle of the array that line {self._array} begins")

    def _skip(self, at: int) -> int:
        found = SEPARATORS.match(self._text, at)
        end = found.end() if found else at
        self._line += self._text.count("\n", at, end)
        return end

    def _bracket(self, bracket: str) -> None:
        if bracket == "[" and not self._array:
            self._array = self._line
        elif bracket == "]" and self._array and not self._ended:
            self._ended = True
        else:
            raise Problem(self._line, f"'{bracket}' where an object with an operation is expected")

    def _object(self, at: int, *, whole: bool) -> tuple[dict[str, Json], int] | None:
        if self._ended or self._text[at] != "{":
            shown = self._text[at : at + 40].split("\n", 1)[0]
            raise Problem(self._line, f"an object with an operation is expected, and not {shown}")
        try:
            fields, end = self._decoder.raw_decode(self._text, at)
        except json.JSONDecodeError as error:
            if not whole and self._may_go_on(error, at):
                return None
            raise Problem(self._line + self._text.count("\n", at, error.pos), f"no JSON: {error.msg}") from error
        except (ValueError, RecursionError) as error:
            raise Problem(self._line, f"no JSON that can be read: {error}") from error
        return fields, end

    def _may_go_on(self, error: json.JSONDecodeError, at: int) -> bool:
        near = error.pos >= len(self._text) - FARTHEST or error.msg.startswith("Unterminated string")
        return near and len(self._text) - at < LONGEST


EVENT = re.compile(r"(\S+)\t(:\S+)\t(\S+)\t([^\t]+)(?:\t(.*))?$")
ALIGNED = re.compile(r"(\S+)\s+(:(?:invoke|ok|fail|info))\s+(:\S+)\s+(\S.*)$")
"""The same in columns that blanks fill up: value and error are two forms of EDN, one after the other."""

BEGUN = re.compile(r"\bjepsen\.\S+(?: -|:)?\s+(?:-?\d+|:[\w-]+)(?:\s+:|\s*$)|\t:(?:invoke|ok|fail|info)\b")
NOISE = re.compile(
    r"\s*$|(?:\S+\s+){0,3}(?:TRACE|DEBUG|INFO|WARN|ERROR|FATAL)\b"  # a line of a logger
    r"|\s+(?:at\s|\.\.\.\s|\S+\.\S+)|\t|Caused by:|[\w.$]+(?:Exception|Error)\b"  # a trace of the stack
)


def log_events(file: BinaryIO) -> Iterator[Event]:
    """Yield the operations that Jepsen's log tells of; raise Problem for a line that is neither one nor of a logger."""
    for number, raw in enumerate(file, 1):
        line = text_of(raw, number).rstrip("\r\n")
        if BEGUN.search(line):
            if not raw.endswith(b"\n"):
                raise Problem(number, "the file ends in the middle of an operation: its line has no end")
            yield _log_event(line, number)
        elif not NOISE.match(line):
            raise Problem(number, f"neither an operation nor a line of a log: {line[:40]}")


def _log_event(line: str, number: int) -> Event:
    try:
        if (found := EVENT.search(line)) is not None:
            process, kind, f, value, error = found.groups()
            return number, _edn(kind), _edn(process), _edn(f), _edn(value), _error(error)
        if (found := ALIGNED.search(line)) is not None:
            process, kind, f, rest = found.groups()
            return number, _edn(kind), _edn(process), _edn(f), *_value_and_error(rest)
    except Problem as problem:
        raise Problem(number, problem.problem) from problem
    raise Problem(number, "an operation has process, type, function and value, in columns")


def _error(text: str | None) -> Json:
    """Return an error, which Jepsen prints as it is: EDN, or the message of an exception."""
    try:
        return _edn(text or "nil")
    except Problem:
        return text


def _value_and_error(text: str) -> tuple[Json, Json]:
    value, *errors = parse_all(text)
    if len(errors) > 1:
        raise Problem(1, f"a value, and an error at most, are expected, and there are {1 + len(errors)}")
    return value, errors[0] if errors else None


@functools.lru_cache(maxsize=512)
def _scalar(text: str) -> Json:
    return parse(text)


def _edn(text: str) -> Json:
    return parse(text) if text.startswith(("[", "{", "(", "#")) else _scalar(text)  # what is shared must not be mutable
