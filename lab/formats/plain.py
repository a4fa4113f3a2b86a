"""The fast way through EDN: blocks of lines, each one plain map, become JSON in bulk and are decoded at once.

What is anything but plain is given back undone, and `lab.formats.edn` reads it. JSON is strict, so whatever the
translation does not understand ends as JSON that does not parse, and never as another value.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

import msgspec

from lab.formats.edn import map_of
from lab.formats.events import FIELDS, Event, event_of, unknown_key
from lab.history import Json

SPECIAL = (b"#", b";", b"null", b"\n\n")
"""What is not plain, outside of strings: tags, sets, comments; a symbol that JSON would take for nil; empty lines."""

BLANKS = bytes.maketrans(b",\t\r\v\f", b"     ")
KEYWORD = re.compile(rb":([^ ,\n\[\](){}:\x01]+)")
KEYWORDS = re.compile(rb"(?:\n\{|, )?(?::[^ ,\n\[\](){}:\x01]+,? )+")
"""Keywords that follow one another, with what leads to them."""

STRING = b"\x01"
"""Stands for the strings, while what is around them is translated."""

ANYWHERE = (b"\\", STRING)
"""What is not plain, in strings either."""

MOST_LEARNT = 24
"""Sequences of keywords that are replaced one by one, which is faster than by pattern as long as they are few."""

MOST_SHAPES = 256
"""Orders of keys that are remembered."""

REFUSED = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


@dataclass(frozen=True, slots=True)
class Shape:
    """Where in a row the fields of an event are; -1, which is None in every row, for those that it has not."""

    size: int
    places: tuple[int, int, int, int, int]
    unknown: bool


@dataclass
class Plain:
    """Reads blocks of plain lines; knows the keywords and the orders of keys that it has seen."""

    _learnt: dict[bytes, bytes] = field(default_factory=dict)
    _shapes: dict[tuple[Json, ...], Shape] = field(default_factory=dict)
    _decoder: msgspec.json.Decoder[list[Any]] = field(default_factory=lambda: msgspec.json.Decoder(list[Any]))
    _spaced: bool = False

    def events(self, block: bytes, line: int) -> list[Event] | None:
        """Return the event of every line of a block that begins with *line*; None if any of them is not plain."""
        pieces = block.split(b'"')
        outside = STRING.join(pieces[::2]) if len(pieces) > 1 else block
        if block[-1:] != b"\n" or any(one in block for one in ANYWHERE) or any(one in outside for one in SPECIAL):
            return None
        # Blanks are where Jepsen puts them, or anywhere: what the last block had is tried first.
        for spaced in (self._spaced, not self._spaced):
            try:
                rows = self._rows(_packed(outside) if spaced else b"\n" + outside, pieces)
                events = None if rows is None else self._events(rows, line)
            except (*REFUSED, TypeError, ValueError):  # what is wrong with it the complete reader will say
                continue
            if events is not None:
                self._spaced = spaced
                return events
        return None

    def _rows(self, text: bytes, pieces: list[bytes]) -> list[list[Any]] | None:
        lines = text.count(b"\n") - 1
        if not text.count(b"\n{") == text.count(b"}\n") == lines or text.count(STRING) * 2 + 1 != len(pieces):
            return None
        text = self._quoted(text).replace(b"\n{", b"\n[").replace(b"}\n", b"]\n")
        nested = b"{" in text or b"(" in text
        text = _marked(text) if nested else text
        text = text.replace(b", ", b",").replace(b" ", b",").replace(b",nil", b",null").replace(b"[nil", b"[null")
        if len(pieces) > 1:
            parts = pieces.copy()
            parts[::2] = text.split(STRING)
            text = b'"'.join(parts)
        rows = self._decoder.decode_lines(text)
        if len(rows) != lines:
            return None
        return [[_value(item) for item in row] for row in rows] if nested else rows

    def _quoted(self, text: bytes) -> bytes:
        for keywords, quoted in self._learnt.items():
            text = text.replace(keywords, quoted)
        if b":" not in text:
            return text
        if len(self._learnt) < MOST_LEARNT:
            found = dict.fromkeys(KEYWORDS.findall(text))
            learnt = self._learnt | {keywords: _strings(keywords) for keywords in found}
            longest = sorted(learnt, key=len, reverse=True)[:MOST_LEARNT]
            self._learnt = {keywords: learnt[keywords] for keywords in longest}
        return KEYWORD.sub(rb'"\1"', text)

    def _events(self, rows: list[list[Any]], line: int) -> list[Event] | None:
        events: list[Event] = []
        for number, row in enumerate(rows, line):
            shape = self._shapes.get(tuple(row[::2])) or self._shape(row)
            if len(row) != shape.size:
                return None
            if shape.unknown:
                events.append(event_of(number, map_of(row)))
                continue
            row.append(None)
            kind, process, f, value, error = shape.places
            events.append((number, row[kind], row[process], row[f], row[value], row[error]))
        return events

    def _shape(self, row: list[Any]) -> Shape:
        fields = map_of(row)
        keys = tuple(row[::2])
        if tuple(fields) != keys:
            raise ValueError("a key that is no string")
        places = {key: 2 * n + 1 for n, key in enumerate(keys)}
        kind, process, f, value, error, exception = (places.get(name, -1) for name in FIELDS)
        shape = Shape(
            len(row),
            (kind, process, f, value, error if error >= 0 else exception),
            unknown_key(fields) is not None,
        )
        if len(self._shapes) >= MOST_SHAPES:
            self._shapes.clear()
        self._shapes[keys] = shape
        return shape


def _strings(keywords: bytes) -> bytes:
    """Return keywords that follow one another as strings with commas between."""
    return KEYWORD.sub(rb'"\1"', keywords).replace(b"\n{", b"\n[").replace(b", ", b",").replace(b" ", b",")


def _packed(text: bytes) -> bytes:
    """Return lines with one blank between values and none beside brackets; an additional end of line leads them."""
    text = b"\n" + text.translate(BLANKS)
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    for bracket in (b"[", b"{", b"\n", b"("):
        text = text.replace(bracket + b" ", bracket)
    for bracket in (b"]", b"}", b"\n", b")"):
        text = text.replace(b" " + bracket, bracket)
    return text


def _marked(text: bytes) -> bytes:
    """Return lines with maps and lists as objects of one key each, which also tells whether brackets match."""
    text = text.replace(b"}", b"]]}").replace(b"{", b'{"m":[[')
    return text.replace(b"(", b'{"l":[').replace(b")", b"]}")


def _value(item: Any) -> Json:
    if type(item) is list:
        return [_value(inner) for inner in item]
    if type(item) is dict:
        return [_value(inner) for inner in item["l"]] if "l" in item else map_of([_value(i) for i in item["m"][0]])
    plain: Json = item
    return plain
