"""The short way for prepared statements leads where the long one leads, and takes nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.pgwire import messages
from faults.pgwire.framing import BYTES, Framer
from faults.pgwire.rules import Rule, Where
from faults.pgwire.session import REPLIES, REQUESTS, Session, Statement
from faults.pgwire.shortcut import is_answer, name_to_run
from tests.faults.pgwire.bench import Bench
from tests.faults.pgwire.test_session import SYNC, Talk, execute, parse
from tests.faults.wire import soon

NAMES = st.binary(max_size=20).map(lambda name: name.replace(b"\0", b"_"))
VALUES = st.binary(max_size=60)
ROWS = st.lists(st.binary(max_size=60).map(lambda row: messages.message(b"D", row)), max_size=5).map(b"".join)
READY = st.sampled_from(b"ITE").map(lambda status: messages.message(b"Z", bytes((status,))))
EXECUTE = messages.message(b"E", b"\0\0\0\0\0")


def bind(name: bytes, values: bytes) -> bytes:
    return messages.message(b"B", b"\0" + name + b"\0\0\0\0\0\0\0" + values)


def done(tag: bytes) -> bytes:
    return messages.message(b"C", tag + b"\0")


REQUESTED = st.builds(lambda name, values: bind(name, values) + EXECUTE + SYNC, NAMES, VALUES)
ANSWERED = st.builds(lambda rows, tag, ready: messages.message(b"2") + rows + done(tag) + ready, ROWS, NAMES, READY)
BROKEN = st.tuples(st.integers(0, 200), st.integers(0, 255))


def broken(data: bytes, places: list[tuple[int, int]]) -> bytes:
    """Return the data with other bytes at some places."""
    changed = bytearray(data)
    for place, value in places:
        changed[place % len(changed)] = value
    return bytes(changed)


@given(data=REQUESTED, places=st.lists(BROKEN, max_size=2), cut=st.integers(0, 3))
def test_a_request_is_taken_as_a_whole_only_if_it_is_one(data: bytes, places: list[tuple[int, int]], cut: int) -> None:
    whole = broken(data, places)[: len(data) - cut]
    name = name_to_run(whole)
    assert name is not None or places or cut
    if name is not None:
        framer = Framer(REQUESTS)
        first, *others = framer.feed(whole)
        assert framer.between_messages
        assert (first.kind, first.body.split(b"\0", 2)[:2]) == (b"B"[0], [b"", name])
        assert [piece.raw for piece in others] == [EXECUTE, SYNC]


@given(data=ANSWERED, places=st.lists(BROKEN, max_size=2), cut=st.integers(0, 3))
def test_an_answer_is_taken_as_a_whole_only_if_it_is_one(data: bytes, places: list[tuple[int, int]], cut: int) -> None:
    whole = broken(data, places)[: len(data) - cut]
    assert is_answer(whole) or places or cut
    if is_answer(whole):
        framer = Framer(REPLIES)
        pieces = framer.feed(whole)
        assert framer.between_messages
        assert [chr(piece.kind) for piece in pieces if piece.kind != BYTES] == ["2", "C", "Z"]


@given(data=st.binary(max_size=80))
def test_garbage_is_taken_by_nobody_or_is_well_formed(data: bytes) -> None:
    if name_to_run(data) is not None:
        Framer(REQUESTS).feed(data)
    if is_answer(messages.message(b"2") + data):
        Framer(REPLIES).feed(messages.message(b"2") + data)


def state(session: Session) -> tuple[object, ...]:
    pending = [(r.op, r.sql, r.kind, r.status) if isinstance(r, Statement) else r.op for r in session.pending]
    return pending, session.status, session.copying, session._portals._sql, session._unsure


def prepared() -> Session:
    talk = Talk()
    talk.said(parse("SELECT $1", "s") + SYNC)
    talk.heard(messages.message(b"1") + messages.message(b"Z", b"I"))
    return talk.session


@pytest.mark.parametrize("name", [b"s", b"unknown"])
@pytest.mark.parametrize("status", [b"I", b"T", b"E"])
def test_both_ways_leave_a_session_in_the_same_state(name: bytes, status: bytes) -> None:
    short, long = prepared(), prepared()
    run = short.runs(name)
    assert run is not None
    for _ in range(2):
        short.run(run)
        for piece in Framer(REQUESTS).feed(bind(name, b"") + EXECUTE + SYNC):
            long.request(piece)
        assert state(short) == state(long)
        assert short.ran(status.decode())
        for piece in Framer(REPLIES).feed(messages.message(b"2") + done(b"SELECT 1") + messages.message(b"Z", status)):
            long.reply(piece)
        assert state(short) == state(long)


def test_what_the_server_throws_away_is_not_run_and_another_answer_is_not_taken() -> None:
    talk = Talk()
    talk.said(parse("SELECT 1", "s") + execute("s") + messages.message(b"H"))
    assert not talk.session.ran("I")
    talk.heard(messages.error_response("42601", "no"))
    assert talk.session.runs(b"s") is None


async def test_a_rule_that_is_armed_between_two_runs_of_a_prepared_statement_strikes_the_second(bench: Bench) -> None:
    raw = (await bench.client("asyncpg")).raw
    statement = await raw.prepare("SELECT $1::int")
    assert [row[0] for row in await soon(statement.fetch(1))] == [1]
    await bench.control.arm(Rule("r", "request", "delay", Where(sql="select [$]1"), seconds=0.001))
    assert [row[0] for row in await soon(statement.fetch(2))] == [2]
    assert [row[0] for row in await soon(statement.fetch(3))] == [3]
    assert (await bench.firing()).answer == "SELECT 1"
    assert (await bench.rule("r")).matched == 2
