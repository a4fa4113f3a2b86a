"""EDN as values: everything that the notation has, what is none, and two ways of reading that agree."""

from __future__ import annotations

import random as randoms

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.formats.edn import Forms, parse
from lab.formats.events import Event, Problem, event_of
from lab.formats.plain import Plain
from lab.history import Json
from tests.lab.formats.edn_text import Written, plain_values, values

PIECES = st.lists(st.integers(1, 12), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("nil", None),
        ("[true, false]", [True, False]),
        ("-0", 0),
        ("-0.0", -0.0),
        ("1e3", 1000.0),
        ("123456789012345678901234567890N", 123456789012345678901234567890),
        ("1.25M", 1.25),
        ("3/4", 0.75),
        ("0x1F", 31),
        ("##Inf", float("inf")),
        (":jepsen.history/op", "jepsen.history/op"),
        (r'"a\"b\\c\n\u00e9\101"', 'a"b\\c\n\u00e9A'),
        (r"[\a \space \u0041 \] 1]", ["a", " ", "A", "]", 1]),
        ("{0 100, :to 9 nil 1 [1 2] 3}", {"0": 100, "to": 9, "null": 1, "[1,2]": 3}),
        ("#{3 1 2}", [3, 1, 2]),
        ("(1 (2))", [1, [2]]),
        ("[1 #_ [a b] 2 #_#_ 3 4]", [1, 2]),
        ("#jepsen.history.Op{:index 0}", {"index": 0}),
        ('#inst "2020-01-01" ; a comment\n', "2020-01-01"),
        ('#object[clojure.lang.Atom 0x1f "a"]', ["clojure.lang.Atom", 31, "a"]),
        ("[1;2\n3]", [1, 3]),
    ],
)
def test_every_part_of_the_notation_has_its_value(text: str, value: Json) -> None:
    assert repr(parse(text)) == repr(value)


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("[1\n2", 2, "middle of what line 1 begins with ["),
        ("\n[1 2}", 2, "'}' closes nothing: line 2 has opened ["),
        ("]", 1, "']' closes nothing: nothing is open"),
        ("{:a 1\n:b}", 1, "a key without a value"),
        ("{:a 1 :a 2}", 1, "the key 'a' twice"),
        ('[1 "abc', 1, "middle of a string"),
        (r'"\q"', 1, r"'\q' is no escape"),
        ("\\qq", 1, r"'\qq' is no character"),
        ("[1 007]", 1, "'007' is no number"),
        ("1x", 1, "'1x' is no number"),
        ("9" * 5000, 1, "limit"),
        (":", 1, "':' is no keyword"),
        ("::a", 1, "'::a' is no keyword"),
        ('#"a+"', 1, 'no EDN: #"a+"'),
        ("^:a 1", 1, "no EDN: ^"),
        ("#", 1, "no EDN: #"),
        ("[#_]", 1, "']' closes nothing: line 1 has opened #_"),
        ("1 2", 1, "one value is expected, and there are 2"),
        ("[" * 501, 1, "deeper than 500"),
    ],
)
def test_what_is_no_edn_is_named_with_its_line(text: str, line: int, problem: str) -> None:
    with pytest.raises(Problem) as caught:
        parse(text)
    assert (caught.value.line, problem in caught.value.problem) == (line, True), caught.value.problem


@given(values())
def test_what_was_written_is_read(written: Written) -> None:
    text, value = written
    assert repr(parse(text)) == repr(value)


@given(st.lists(values(), max_size=4), PIECES)
def test_text_in_pieces_is_read_as_text_in_one(written: list[Written], sizes: list[int]) -> None:
    text = "\n".join(f"; begin\n[{text}]" for text, _ in written)
    forms, found, at, turn = Forms(), [], 0, 0
    while at < len(text):
        size = sizes[turn % len(sizes)]
        found += forms.feed(text[at : at + size])
        at, turn = at + size, turn + 1
    found += forms.end()
    assert repr([form for _, form in found]) == repr([[value] for _, value in written])
    assert [line for line, _ in found] == [text[:at].count("\n") + 2 for at in _begins(text, "; begin\n")]


def _begins(text: str, what: str) -> list[int]:
    return [at for at in range(len(text)) if text.startswith(what, at)]


def history(written: list[Written], seed: int) -> tuple[str, list[Json]]:
    """Return lines of events with these values, keys in an order that may change, and the values."""
    random = randoms.Random(seed)
    lines = []
    for number, (text, _) in enumerate(written):
        parts = [":type :ok", f":process {number}", ":f :read", f":value {text}", f":index {number}"]
        if seed % 3 == 1:
            random.shuffle(parts)
        lines.append("{" + (", " if seed % 2 else " ").join(parts) + "}\n")
    return "".join(lines), [value for _, value in written]


def completely(text: str) -> list[Event]:
    """Return the events in a text, read without the fast way."""
    forms = Forms()
    found = []
    for line, form in [*forms.feed(text), *forms.end()]:
        assert isinstance(form, dict)
        found.append(event_of(line, form))
    return found


@given(st.lists(values() | plain_values(), min_size=1, max_size=5), st.integers(0, 99))
def test_the_fast_way_says_what_the_complete_reader_says_or_nothing(written: list[Written], seed: int) -> None:
    text, _ = history(written, seed)
    events = Plain().events(text.encode("utf-8", "surrogatepass"), 1)
    if events is not None:
        assert repr(events) == repr(completely(text))


SCRAPS = st.sampled_from(
    [
        *'{}[]() ,\n:"\\#;-+1a',
        "{:type :ok",
        "}\n{",
        "}\n",
        ":value ",
        ":f ",
        "nil",
        "null",
        " 1",
        "0",
        "true",
        '"a"',
        "#_",
        ", ",
    ]
)


@given(st.lists(SCRAPS, max_size=14).map("".join))
def test_the_fast_way_never_accepts_what_the_complete_reader_refuses(scrap: str) -> None:
    text = "{:type :ok, :value [" + scrap + "]}\n{:type :ok :process 1}\n"
    plain = Plain()
    plain.events(b"{:type :ok, :f :x, :value [[:r 1 nil]], :process 1}\n", 1)  # now it knows some keywords
    events = plain.events(text.encode(), 1)
    if events is not None:
        assert repr(events) == repr(completely(text))


@pytest.mark.parametrize(
    "line",
    [
        b"{:type :ok, :f :txn, :value [[:r 1 nil] [:append 2 3]], :process 0, :time 1, :index 7}\n",
        b"  {:process 4,  :type :ok, :f :read , :value nil } ,\r\n",
        b"{:type :ok, :f :read, :process 0, :value {0 100, 1 0}}\n",
        b'{:type :ok :f :read :value (1 [2 {}]) :error [:lost "the; (connection #1"]}\n',
    ],
)
def test_what_jepsen_writes_goes_the_fast_way(line: bytes) -> None:
    events = Plain().events(line * 3, 5)
    assert events is not None
    assert repr(events) == repr([(n, *completely(line.decode())[0][1:]) for n in (5, 6, 7)])


@pytest.mark.parametrize(
    "text",
    [
        b"{:type :ok} {:type :ok}\n",
        b"{:type :ok, :value (1 [2) 3]}\n",
        b"{:type :ok, :value {1 [2} 3]}\n",
        b"{:type :ok, :value (1 2]}\n",
        b"{:type :ok, :value [:a:b]}\n",
        b"{:type :ok, :value null}\n",
        b"{:type :ok, :type :ok}\n",
        b"{:type :ok, :value}\n",
        b"{:type :ok, [1] 2}\n",
        b"{:type :ok}\n\n{:type :ok}\n",
        b"{:type :ok, :value [\n2]}\n",
        b"{:type :ok\n}\n",
        b'{:type :ok, :value "a\nb"}\n',
        b"[:type :ok]\n",
        b"{:type :ok]\n",
        b"{:type :ok}",
    ],
)
def test_what_is_not_plain_is_left_to_the_complete_reader(text: bytes) -> None:
    plain = Plain()
    known = b"{:type :ok, :f :x, :value [[:r 1 nil]], :process 1}\n"
    assert plain.events(known, 1) is not None
    assert plain.events(text, 1) is None
    assert plain.events(known + text, 1) is None
