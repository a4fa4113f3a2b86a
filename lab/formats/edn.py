"""EDN, the data notation of Clojure (github.com/edn-format/edn), read as JSON values from text that comes in pieces.

Keywords, symbols and characters become strings; vectors, lists and sets become lists; ratios and decimals become
floats; keys of maps become strings as JSON has them; a tag is dropped and what it stands before is kept.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field

import msgspec

from lab.formats.events import Problem
from lab.history import Json

DEEPEST = 500
"""How deep collections may be nested."""

BLANK = " \\t\\n\\r\\f\\v,"
END = BLANK + r"\[\](){}\";"
TOKEN = re.compile(
    rf"""
    (?P<skip>[{BLANK}]+|;[^\n]*)
  | (?P<atom>[^{END}\\\#][^{END}\\]*)
  | (?P<open>\#\{{|[\[({{])
  | (?P<close>[\])}}])
  | "(?P<string>(?:[^"\\]|\\.)*)"
  | \\(?P<char>.[^{END}\\]*)
  | (?P<discard>\#_)
  | (?P<symbolic>\#\#[A-Za-z-]*)
  | \#(?P<tag>[^{END}\\\#_][^{END}\\]*)
    """,
    re.VERBOSE | re.DOTALL,
)
NUMERIC = re.compile(r"[+-]?[0-9]", re.ASCII)
INTEGER = re.compile(r"[+-]?(?:0|[1-9][0-9]*)N?", re.ASCII)
HEXADECIMAL = re.compile(r"[+-]?0[xX][0-9a-fA-F]+", re.ASCII)
FLOAT = re.compile(r"[+-]?[0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?M?", re.ASCII)
RATIO = re.compile(r"([+-]?[0-9]+)/([0-9]*[1-9][0-9]*)", re.ASCII)
ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|[0-7]{1,3}|.)", re.DOTALL)

ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", '"': '"', "\\": "\\"}
NAMED = {"newline": "\n", "space": " ", "tab": "\t", "return": "\r", "backspace": "\b", "formfeed": "\f"}
WORDS: dict[str, Json] = {"nil": None, "true": True, "false": False}
SYMBOLIC = {"##Inf": float("inf"), "##-Inf": float("-inf"), "##NaN": float("nan")}
CLOSES = {"[": "]", "(": ")", "{": "}", "#{": "}"}
TAG, DISCARD = "#", "#_"
"""Frames that end with the one value that follows them."""


@dataclass(slots=True)
class Frame:
    """A collection that is open, or a tag or discard that waits for its value: *opened* by what, in which *line*."""

    opened: str
    line: int
    items: list[Json] = field(default_factory=list)


@dataclass
class Forms:
    """Takes EDN piece by piece and gives the forms that are complete, each with the line that it begins in.

    A list or vector around the whole file, as histories have it, is seen through if *enclosed* is given.
    """

    enclosed: bool = False
    line: int = 1
    done: list[tuple[int, Json]] = field(default_factory=list)
    _frames: list[Frame] = field(default_factory=list)
    _pending: list[str] = field(default_factory=list)
    _around: Frame | None = None
    _ended: bool = False

    @property
    def idle(self) -> bool:
        """Whether what comes next begins a new form."""
        return not self._frames and not self._pending and not self._ended

    def feed(self, text: str) -> list[tuple[int, Json]]:
        """Take the next piece and return what it completed; raise Problem for what is no EDN."""
        if self._pending and self._pending[0].startswith('"') and '"' not in text:
            self._pending.append(text)  # a string that goes on is looked at once, when it ends
            return []
        text = "".join([*self._pending, text])
        self._pending = []
        self._scan(text, whole=False)
        return self._take()

    def end(self) -> list[tuple[int, Json]]:
        """Return what the end of the text completes; raise Problem if it was cut in the middle of something."""
        text = "".join(self._pending)
        self._pending = []
        self._scan(text, whole=True)
        open_ = self._frames[0] if self._frames else self._around
        if open_ is not None:
            raise Problem(
                self.line, f"the file ends in the middle of what line {open_.line} begins with {open_.opened}"
            )
        return self._take()

    def _take(self) -> list[tuple[int, Json]]:
        done, self.done = self.done, []
        return done

    def _scan(self, text: str, *, whole: bool) -> None:
        at, length = 0, len(text)
        while at < length:
            match = TOKEN.match(text, at)
            if match is None and (whole or not _goes_on(text, at)):
                raise Problem(self.line, _not_edn(text[at:]))
            if match is None or (match.end() == length and not whole and not _is_whole(match)):
                self._pending = [text[at:]]  # the next piece may have the rest of it
                return
            kind = match.lastgroup
            token = match[kind or 0]
            if kind == "atom":
                self._value(self._atom(token))
            elif kind != "skip":
                self._token(kind, token)
            at = match.end()
            if kind in ("skip", "string"):
                self.line += token.count("\n")

    def _token(self, kind: str | None, text: str) -> None:
        match kind:
            case "open":
                self._open(text)
            case "close":
                self._close(text)
            case "discard" | "tag":
                self._push(DISCARD if kind == "discard" else TAG)
            case _:
                self._value(self._atom(text, kind))

    def _open(self, text: str) -> None:
        if self.enclosed and not self._frames and text in ("[", "("):
            if self._around is not None or self._ended:
                raise Problem(self.line, "an operation is a map such as {:type :invoke, ...}, and not a list")
            self._around = Frame(text, self.line)
        else:
            self._push(text)

    def _push(self, opened: str) -> None:
        if len(self._frames) == DEEPEST:
            raise Problem(self.line, f"nested deeper than {DEEPEST} levels")
        self._frames.append(Frame(opened, self.line))

    def _close(self, text: str) -> None:
        frame = self._frames.pop() if self._frames else self._around
        if frame is None or CLOSES.get(frame.opened) != text:
            begun = "nothing is open" if frame is None else f"line {frame.line} has opened {frame.opened}"
            raise Problem(self.line, f"'{text}' closes nothing: {begun}")
        if frame is self._around:
            self._around, self._ended = None, True
        elif frame.opened == "{":
            self._value(_map(frame), frame.line)
        else:
            self._value(frame.items, frame.line)

    def _value(self, value: Json, line: int | None = None) -> None:
        while self._frames and self._frames[-1].opened in (TAG, DISCARD):
            frame = self._frames.pop()
            if frame.opened == DISCARD:
                return
            line = frame.line
        if self._frames:
            self._frames[-1].items.append(value)
        elif self._ended:
            raise Problem(line or self.line, "more follows the list that is the history")
        else:
            self.done.append((line or self.line, value))

    def _atom(self, text: str, kind: str | None = None) -> Json:
        try:
            return _string(text) if kind == "string" else _char(text) if kind == "char" else _word(text)
        except (ValueError, OverflowError) as error:
            raise Problem(self.line, str(error)) from error


def parse(text: str) -> Json:
    """Return the one value that a text is; raise Problem if it is not one."""
    values = parse_all(text)
    if len(values) != 1:
        raise Problem(1, f"one value is expected, and there are {len(values)}")
    return values[0]


def parse_all(text: str) -> list[Json]:
    """Return the values that stand in a text, one after the other; raise Problem for what is none."""
    forms = Forms()
    return [value for _, value in (*forms.feed(text), *forms.end())]


def map_of(items: list[Json]) -> dict[str, Json]:
    """Return the map of alternating keys and values; raise ValueError for a key without a value or one twice."""
    if len(items) % 2:
        raise ValueError("a map has a key without a value")
    found = {key_of(key): value for key, value in zip(items[::2], items[1::2], strict=True)}
    if len(found) * 2 != len(items):
        keys = [key_of(key) for key in items[::2]]
        twice = next(key for n, key in enumerate(keys) if key in keys[:n])
        raise ValueError(f"a map has the key '{twice}' twice")
    return found


def key_of(key: Json) -> str:
    """Return the key of a map as JSON has it."""
    return key if isinstance(key, str) else msgspec.json.encode(key).decode()


def _map(frame: Frame) -> dict[str, Json]:
    try:
        return map_of(frame.items)
    except ValueError as error:
        raise Problem(frame.line, str(error)) from error


def _word(text: str) -> Json:
    return _number(text) if NUMERIC.match(text) else _name(text)


@functools.lru_cache(maxsize=512)
def _name(text: str) -> Json:
    if text in WORDS:
        return WORDS[text]
    if text[0] == ":":
        if len(text) == 1 or text[1] == ":":
            raise ValueError(f"'{text}' is no keyword")
        return text[1:]
    if text in SYMBOLIC:
        return SYMBOLIC[text]
    if text[0] in "@^~`'" or text.startswith("##"):
        raise ValueError(_not_edn(text))
    return text


def _number(text: str) -> Json:
    if INTEGER.fullmatch(text):
        return int(text.rstrip("N"))
    if FLOAT.fullmatch(text) and not re.match(r"[+-]?0[0-9]", text):
        return float(text.rstrip("M"))
    if ratio := RATIO.fullmatch(text):
        return int(ratio[1]) / int(ratio[2])
    if HEXADECIMAL.fullmatch(text):
        return int(text, 16)
    raise ValueError(f"'{text}' is no number")


def _string(text: str) -> str:
    if "\\" not in text:
        return text
    return _joined(ESCAPE.sub(lambda found: _escaped(found[1]), text))


def _joined(text: str) -> str:
    # Clojure writes characters beyond the first 65536 as two escapes, as UTF-16 has them.
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(text: str) -> str:
    if text[0] == "u" and len(text) == 5:
        return chr(int(text[1:], 16))
    if text in ESCAPED:
        return ESCAPED[text]
    if text[0] in "01234567":
        return chr(int(text, 8))
    raise ValueError(f"'\\{text}' is no escape of a string")


def _char(text: str) -> str:
    if len(text) == 1:
        return text
    if text in NAMED:
        return NAMED[text]
    if re.fullmatch(r"u[0-9a-fA-F]{4}|o[0-7]{1,3}", text):
        return _joined(chr(int(text[1:], 16 if text[0] == "u" else 8)))
    raise ValueError(f"'\\{text}' is no character")


def _is_whole(match: re.Match[str]) -> bool:
    return match.lastgroup in ("open", "close") or (match.lastgroup == "skip" and match[0][-1] == "\n")


def _goes_on(text: str, at: int) -> bool:
    return text[at] == '"' or (at == len(text) - 1 and text[at] in "\\#")


def _not_edn(text: str) -> str:
    if text[0] == '"':
        return "the file ends in the middle of a string"
    shown = text.strip().split("\n", 1)[0]
    return f"no EDN: {shown[:40]}" + ("..." if len(shown) > 40 else "")
