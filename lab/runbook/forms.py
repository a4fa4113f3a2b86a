"""The commands of a block by the kinds of blocks: how each is written, and what its words mean. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from faults.kinds import fault_from_json
from faults.plan import EVERY_NODE, LEASEHOLDER, ONE_NODE
from lab.runbook.model import (
    NODE,
    Action,
    Answers,
    App,
    Hot,
    Kind,
    Leak,
    Ping,
    Program,
    Queue,
    Recycle,
    Restore,
    Roll,
    Rotation,
    Sql,
    Stale,
    Storm,
    Strike,
)

SIGNALS: Final[dict[str, str]] = {
    "error-rate": "percent of the operations of the last two seconds that were not done",
    "p99": "seconds, of those operations and of those that still wait",
    "served": "percent of the clients that had an answer in the last two seconds",
    "retries": "failed attempts for an operation",
    "conflicts": "attempts for an operation that met 40001 or 40P01",
    "in-doubt": "attempts that lost the answer to their COMMIT",
    "errors": "attempts that met the SQLSTATE or class of error that is named",
    "pool-in-use": "connections of the application's pool that are lent out",
}
"""What ``app NAME`` tells."""

RESTORES: Final[dict[str, tuple[str, ...]]] = {
    "start": ("kill", "drain", "crash"),
    "resume": ("pause",),
    "reconnect": ("disconnect",),
    "rejoin": ("isolate", "bend_links"),
    "gateway-up": ("down",),
    "replace": ("bend", "strike"),
}
"""How a node is restored -> the kinds of faults that this ends."""

PROGRAMS: Final = (("node", "status"), ("node", "ls"))
"""``cockroach`` commands that only look."""

ONLY_LOOKS = re.compile(r"\s*(select|show|explain|with|table|values)\b", re.IGNORECASE)
LIMIT: Final = 100
"""The most sessions, rows or writers that a line may ask for."""


class Wrong(ValueError):
    """A line that means nothing; the message says what would."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Say that there is no *what* of this name, with the nearest names, or all."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return f"unknown {what} '{name}': {hint}"


def _target(text: str) -> str:
    if text in (ONE_NODE, EVERY_NODE, LEASEHOLDER, NODE) or re.fullmatch(r"n[1-9]\d?", text):
        return text
    raise Wrong(f"'{text}' is no node: say {ONE_NODE}, {EVERY_NODE}, {LEASEHOLDER}, {NODE} or a name as n1")


def _simple(kind: str) -> Callable[[str], Action]:
    return lambda rest: Strike(fault_from_json({"kind": kind, "on": _target(rest)}, kind))


def _crash(rest: str) -> Action:
    if rest != "server":
        raise Wrong(f"'{rest}' cannot crash")
    return Strike(fault_from_json({"kind": "crash"}, "crash"))


def _gateway_down(rest: str) -> Action:
    on, _, down = rest.rpartition(" ")
    if down != "down":
        raise Wrong(f"'{rest}'")
    return Strike(fault_from_json({"kind": "down", "on": _target(on)}, "gateway"))


def _toxic(rest: str) -> Action:
    words, on = _words_and_target(rest)
    kind, pairs = (words[0] if words else ""), _pairs(words[1:])
    fault: dict[str, object] = {"kind": "bend", "on": on}
    for name in ("stream", "toxicity"):
        if name in pairs:
            fault[name] = pairs.pop(name)
    return Strike(fault_from_json({**fault, "toxic": {"type": kind, "attributes": pairs}}, "toxic"))


def _rule(rest: str) -> Action:
    words, on = _words_and_target(rest)
    rule = {"preset": words[0] if words else "", **_pairs(words[1:])}
    return Strike(fault_from_json({"kind": "strike", "on": on, "rule": rule}, "rule"))


def _words_and_target(rest: str) -> tuple[list[str], str]:
    words, on, target = rest.partition(" on ")
    if not on:
        raise Wrong("it does not say on which node")
    return words.split(), _target(target.strip())


def _pairs(words: Iterable[str]) -> dict[str, object]:
    pairs: dict[str, object] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not sign:
            raise Wrong(f"'{word}' is no name=value")
        try:
            pairs[name] = int(value)
        except ValueError:
            try:
                pairs[name] = float(value)
            except ValueError:
                pairs[name] = value
    return pairs


def _count(rest: str, *words: str) -> int:
    given = rest.split()
    if tuple(given[1:]) != words or not given[0].isascii() or not given[0].isdecimal():
        raise Wrong(f"'{rest}'")
    if not 1 <= int(given[0]) <= LIMIT:
        raise Wrong(f"{given[0]} is not from 1 to {LIMIT}")
    return int(given[0])


def _counted(make: Callable[[int], Action], *words: str) -> Callable[[str], Action]:
    def read(rest: str) -> Action:
        if not rest:
            raise Wrong("it does not say how many")
        return make(_count(rest, *words))

    return read


def _stale(rest: str) -> Action:
    words = rest.split()
    if len(words) != 2 or words[0] != "sessions" or not re.fullmatch(r"[0-9A-Z]{5}", words[1]):
        raise Wrong(f"'{rest}'")
    return Stale(words[1])


def _hot(rest: str) -> Action:
    words = rest.split()
    if words[:1] != ["rows"] or len(words) != 2:
        raise Wrong(f"'{rest}'")
    rows = _count(words[1])
    if not 2 <= rows <= 8:
        raise Wrong("transfers take two rows at least, and more than eight are not hot")
    return Hot(rows)


def _app(rest: str) -> Action:
    words = rest.split()
    if not words or words[0] not in SIGNALS:
        raise Wrong(unknown("signal", words[0] if words else "", SIGNALS))
    if len(words) != (2 if words[0] == "errors" else 1):
        raise Wrong(f"'app {rest}'")
    return App(*words)


def _sql(rest: str) -> Sql:
    if not rest:
        raise Wrong("there is no statement")
    return Sql(rest)


def _look(rest: str) -> Sql:
    if rest and not ONLY_LOOKS.match(rest):
        raise Wrong("a statement that observes begins with SELECT, SHOW, EXPLAIN, WITH, TABLE or VALUES")
    return _sql(rest)


def _program(rest: str) -> Action:
    words = tuple(rest.split())
    if words[:1] != ("cockroach",) or words[1:3] not in PROGRAMS:
        known = ", ".join(" ".join(("cockroach", *program)) for program in PROGRAMS)
        raise Wrong(f"no such command: {rest!r}; known: {known}")
    if any(not re.fullmatch(r"--[a-z][a-z-]*(=[\w.:-]*)?", word) for word in words[3:]):
        raise Wrong(f"only options may stand behind 'cockroach {' '.join(words[1:3])}'")
    return Program(words[1:])


def _restore(verb: str) -> Callable[[str], Action]:
    return lambda rest: Restore(verb, "server" if verb == "start" and rest == "server" else _target(rest))


def _gateway_up(rest: str) -> Action:
    on, _, up = rest.rpartition(" ")
    if up != "up":
        raise Wrong(f"'{rest}'")
    return Restore("gateway-up", _target(on))


def _rotation(word: str) -> Callable[[str], Action]:
    def read(rest: str) -> Action:
        on, _, last = rest.rpartition(" ")
        if last != word:
            raise Wrong(f"'{rest}'")
        return Rotation(_target(on), out=word == "out")

    return read


def _roll(rest: str) -> Action:
    if rest != EVERY_NODE:
        raise Wrong(f"'{rest}'")
    return Roll()


def _app_act(rest: str) -> Action:
    words = rest.split()
    if words == ["recycle"]:
        return Recycle()
    if words[:1] == ["queue"] and len(words) == 2:
        return Queue(_count(words[1]))
    raise Wrong(f"'app {rest}'")


class Form(NamedTuple):
    """How a command is written, and how what stands behind its name is read."""

    usage: str
    read: Callable[[str], Action]


_OBSERVE: Final = {
    "app": Form(f"app {'|'.join(SIGNALS)} (errors with a SQLSTATE or class)", _app),
    "sql": Form("sql SELECT ...", _look),
    "ping": Form("ping NODE", lambda rest: Ping(_target(rest))),
    "answers": Form("answers NODE", lambda rest: Answers(_target(rest))),
    "$": Form("$ cockroach node status [--options]", _program),
}

FORMS: Final[dict[Kind, dict[str, Form]]] = {
    "inject": {
        **{name: Form(f"{name} NODE", _simple(name)) for name in ("kill", "pause", "drain", "disconnect", "isolate")},
        "cut": Form("cut NODE", _simple("cut")),
        "crash": Form("crash server", _crash),
        "gateway": Form("gateway NODE down", _gateway_down),
        "toxic": Form("toxic KIND attribute=value ... [stream=upstream] [toxicity=0.5] on NODE", _toxic),
        "rule": Form("rule PRESET [times=0] [probability=0.5] on NODE", _rule),
        "leak": Form("leak N connections", _counted(Leak, "connections")),
        "storm": Form("storm N sessions", _counted(Storm, "sessions")),
        "stale": Form("stale sessions SQLSTATE", _stale),
        "hot": Form("hot rows N", _hot),
    },
    "observe": _OBSERVE,
    "verify": _OBSERVE,
    "act": {
        "sql": Form("sql STATEMENT", _sql),
        **{verb: Form(f"{verb} NODE", _restore(verb)) for verb in ("resume", "reconnect", "rejoin", "replace")},
        "start": Form("start NODE, or start server", _restore("start")),
        "gateway": Form("gateway NODE up", _gateway_up),
        "take": Form("take NODE out", _rotation("out")),
        "put": Form("put NODE back", _rotation("back")),
        "roll": Form("roll every node", _roll),
        "app": Form("app recycle, or app queue N", _app_act),
    },
}
"""Kind of block -> the commands that it may hold."""
