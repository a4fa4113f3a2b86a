"""Histories written as EDN in as many ways as there are, with the values that have to come out of them."""

from __future__ import annotations

import json
import random as randoms
from typing import TypeAlias

from hypothesis import strategies as st

from lab.history import Json

Written: TypeAlias = tuple[str, Json]
"""A text of EDN and the value that it has."""

NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,6}(/[a-z]{1,3})?[?!]?", fullmatch=True)


def simple() -> st.SearchStrategy[Written]:
    """Draw a value that Jepsen's own histories are full of."""
    return st.one_of(
        st.just(("nil", None)),
        st.booleans().map(lambda flag: (str(flag).lower(), flag)),
        st.integers(-(2**70), 2**70).map(lambda number: (str(number), number)),
        st.floats(allow_nan=False, allow_infinity=False).map(lambda number: (repr(number), number)),
        NAMES.map(lambda name: (f":{name}", name)),
        st.text().map(lambda text: (json.dumps(text, ensure_ascii=len(text) % 2 == 0), text)),
    )


def rare() -> st.SearchStrategy[Written]:
    """Draw a value that only the complete reader understands."""
    return st.one_of(
        st.integers().map(lambda number: (f"{number}N", number)),
        st.integers(0, 9999).map(lambda number: (f"+{number}", number)),
        st.integers(0, 2**40).map(lambda number: (hex(number), number)),
        st.decimals(-1000, 1000, places=2).map(lambda number: (f"{number}M", float(number))),
        st.tuples(st.integers(-99, 99), st.integers(1, 99)).map(lambda two: (f"{two[0]}/{two[1]}", two[0] / two[1])),
        st.sampled_from([("\\a", "a"), ("\\newline", "\n"), ("\\u00e9", "\u00e9"), ("\\(", "("), ("null", "null")]),
        st.sampled_from([("java.lang.Foo", "java.lang.Foo"), ("<init>", "<init>"), ("-", "-"), ("nilly", "nilly")]),
        st.sampled_from([('"a\nb"', "a\nb"), ('"\\ud83d\\ude00"', "\U0001f600"), ('#inst "2020"', "2020")]),
    )


def values() -> st.SearchStrategy[Written]:
    """Draw any value."""
    return st.recursive(simple() | rare(), _collections, max_leaves=8)


def plain_values() -> st.SearchStrategy[Written]:
    """Draw a value that the fast way understands, as far as its strings are."""
    return st.recursive(simple(), lambda inner: _vectors(inner) | _maps(inner), max_leaves=8)


def _collections(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    tagged = inner.map(lambda item: (f"#jepsen.independent/tuple {item[0]}", item[1]))
    discarded = st.tuples(inner, inner).map(lambda two: (f"#_ {two[0][0]} {two[1][0]}", two[1][1]))
    return _vectors(inner) | _maps(inner) | tagged | discarded


def _vectors(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    def written(items: list[Written], brackets: str, seed: int) -> Written:
        begin, end = brackets.split()
        return begin + spaced([text for text, _ in items], seed) + end, [value for _, value in items]

    return st.builds(written, st.lists(inner, max_size=4), st.sampled_from(["[ ]", "( )", "#{ }"]), st.integers(0, 9))


def _maps(inner: st.SearchStrategy[Written]) -> st.SearchStrategy[Written]:
    def written(items: dict[str, Written], numbered: bool, seed: int) -> Written:
        keys = {name: str(n) if numbered else f":{name}" for n, name in enumerate(items)}
        text = spaced([f"{keys[name]} {value[0]}" for name, value in items.items()], seed)
        return "{" + text + "}", {keys[name].strip(":"): value[1] for name, value in items.items()}

    return st.builds(written, st.dictionaries(NAMES, inner, max_size=3), st.booleans(), st.integers(0, 9))


def spaced(texts: list[str], seed: int) -> str:
    """Return texts with blanks between: as Jepsen has them for a *seed* below 6, and wild ones otherwise."""
    if seed < 3:
        return " ".join(texts)
    if seed < 6:
        return ", ".join(texts)
    random = randoms.Random(seed)
    blanks = [" ", ", ", ",", "  ", " ,", "\t", " , "]
    return random.choice(["", " "]) + "".join(text + random.choice(blanks) for text in texts)
