"""Which format a file has, told by how it begins and not by what it is called."""

from __future__ import annotations

import enum
import re
from pathlib import Path

from lab.errors import MalformedFile

BEGINNING = 65536
"""Bytes that are looked at."""

EXPECTED = "a journal of the lab, or a history of Jepsen as EDN, as JSON or as a text log"


class Format(enum.StrEnum):
    """The formats of histories."""

    JOURNAL = "journal"
    """The lab's own: JSON lines, each with its "record"."""

    EDN = "edn"
    """Jepsen's history.edn: maps one after the other, or one vector or list of them."""

    JSON = "json"
    """The same as JSON: objects one after the other, or one array of them."""

    LOG = "log"
    """Jepsen's log: lines with process, type, function and value behind the name of a logger, in columns."""


BLANK = rb"[\s,]*"
PATTERNS = (
    (Format.JOURNAL, re.compile(BLANK + rb'\{\s*"record"\s*:')),
    (Format.JSON, re.compile(BLANK + rb'(?:\[\s*)?\{\s*(?:"[^"]*"\s*:|\}|$)|' + BLANK + rb"\[\s*\]")),
    (Format.EDN, re.compile(rb"(?:[\s,]|;[^\n]*\n?)*(?:[\[(][\s,]*)?(?:[{(;#]|\[\s*$)")),
    (Format.LOG, re.compile(rb"(?m)^[^\n]*(?:\t|\bjepsen\.[^\n]*\S +):(?:invoke|ok|fail|info)[\t ]+:")),
)


def detect(path: Path) -> Format:
    """Return the format of a file; raise MalformedFile for one that has none of them, saying what was expected."""
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise MalformedFile(str(path), 0, "no regular file, and a history is read twice: write it to a file first")
        with path.open("rb") as file:
            beginning = file.read(BEGINNING).removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise MalformedFile(str(path), 0, error.strerror or str(error)) from error
    if not beginning.strip():
        raise MalformedFile(str(path), 1, f"empty: expected {EXPECTED}")
    for name, pattern in PATTERNS:
        if pattern.search(beginning) if name is Format.LOG else pattern.match(beginning):
            return name
    raise MalformedFile(str(path), 1, f"not a history: expected {EXPECTED}")
