"""The command of a statement, from its text."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

MOST_CACHED: Final = 1_000
"""Characters of a statement whose command is remembered."""

# Possessive: a hundred empty comments must not cost 2**100 attempts.
_KEYWORD = re.compile(r"(?:\s++|--[^\n]*+\n?+|(?>/\*.*?\*/)|;)*+([A-Za-z]++)", re.DOTALL)
_LAST_COMMIT = re.compile(r";\s*+(?:COMMIT|END)(?:\s+(?:WORK|TRANSACTION))?\s*;?\s*$", re.IGNORECASE)
_WITH_BODY = frozenset(("CREATE", "DO"))  # of a function, which may end with END
_SAME = {"END": "COMMIT", "ABORT": "ROLLBACK", "START": "BEGIN"}


def kind_of(sql: str) -> str:
    """Return the command of a statement in capitals: COMMIT for END too, and for several that end with a COMMIT."""
    return _kind_of(sql) if len(sql) <= MOST_CACHED else _kind_of.__wrapped__(sql)


@lru_cache(maxsize=4096)
def _kind_of(sql: str) -> str:
    found = _KEYWORD.match(sql)
    word = found.group(1).upper() if found else ""
    if word not in _WITH_BODY and _LAST_COMMIT.search(sql):
        return "COMMIT"
    if word == "ROLLBACK" and re.search(r"\bTO\b", sql[:200], re.IGNORECASE):
        return "ROLLBACK TO"
    return _SAME.get(word, word)
