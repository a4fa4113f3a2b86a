"""Framing and following, without a server: any split, any garbage, any claim of length."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faults.pgwire import messages
from faults.pgwire.errors import NotPostgres, ProtocolViolation, WireError
from faults.pgwire.framing import BYTES, HEAD, SSL_REQUEST, Framer, Piece
from faults.pgwire.session import REPLIES, REQUESTS, Session
from faults.pgwire.sql import kind_of


def startup(**parameters: str) -> bytes:
    body = b"".join(f"{name}\0{value}\0".encode() for name, value in parameters.items())
    return struct.pack("!II", len(body) + 9, 196608) + body + b"\0"


def split(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({cut % (len(data) + 1) for cut in cuts})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]


def fed(framer: Framer, parts: list[bytes]) -> list[Piece]:
    return [piece for part in parts for piece in framer.feed(part)]


def messages_of(pieces: list[Piece]) -> list[tuple[int, bytes]]:
    return [(piece.kind, piece.body) for piece in pieces if piece.kind != BYTES]


KINDS = st.sampled_from([bytes((kind,)) for kind in sorted(REQUESTS | REPLIES | set(b"dHpRDtN"))])
BODIES = st.one_of(st.binary(max_size=60), st.integers(HEAD - 9, 3 * HEAD).map(lambda size: b"x" * size))
CONVERSATIONS = st.lists(st.builds(messages.message, KINDS, BODIES), max_size=12).map(b"".join)
CUTS = st.lists(st.integers(0, 10**6), max_size=30)


@pytest.mark.parametrize("begins", [True, False])
@given(conversation=CONVERSATIONS, cuts=CUTS)
def test_however_the_bytes_are_split_the_messages_are_the_same_and_no_byte_is_lost(
    begins: bool, conversation: bytes, cuts: list[int]
) -> None:
    data = startup(user="u") + conversation if begins else conversation
    whole, piecewise = (Framer(REQUESTS | REPLIES, startup=begins) for _ in range(2))
    at_once, in_parts = whole.feed(data), fed(piecewise, split(data, cuts))
    assert messages_of(in_parts) == messages_of(at_once)
    assert b"".join(piece.raw for piece in in_parts) + piecewise.take() == data
    assert b"".join(piece.raw for piece in at_once) + whole.take() == data


@given(data=st.binary(max_size=400), startup=st.booleans(), cuts=CUTS)
def test_garbage_raises_nothing_but_wire_errors(data: bytes, startup: bool, cuts: list[int]) -> None:
    framer, session = Framer(REQUESTS | REPLIES, startup=startup), Session()
    try:
        pieces = fed(framer, split(data, cuts))
    except WireError:
        return
    for piece in pieces:
        if piece.kind != BYTES:
            session.request(piece)
            session.reply(piece)


@given(frames=st.lists(st.tuples(st.sampled_from("cr"), KINDS, st.binary(max_size=30)), max_size=60))
def test_a_session_takes_any_messages_in_any_order_and_stays_bounded(frames: list[tuple[str, bytes, bytes]]) -> None:
    session = Session()
    for side, kind, body in frames:
        piece = Piece(kind[0], body, b"")
        if side == "c" and piece.kind in REQUESTS:
            session.request(piece)
        elif side == "r" and piece.kind in REPLIES:
            session.reply(piece)
    assert len(session.pending) <= len(frames)


@pytest.mark.parametrize("length", [0, 3, 0x4000_0001, 0xFFFF_FFFF])
def test_an_impossible_length_is_a_violation_that_names_it(length: int) -> None:
    with pytest.raises(ProtocolViolation, match=f"'Q' claims a length of {length} bytes"):
        Framer(REQUESTS).feed(b"Q" + struct.pack("!I", length))


@pytest.mark.parametrize("kind", [b"Q", b"d"])
def test_a_message_of_a_gigabyte_is_passed_on_as_it_comes(kind: bytes) -> None:
    framer = Framer(REQUESTS)
    framer.feed(kind + struct.pack("!I", 0x4000_0000) + b"x" * HEAD)
    for _ in range(50):
        assert [piece.raw for piece in framer.feed(b"y" * 65536)] == [b"y" * 65536]
    assert framer.take() == b""


@pytest.mark.parametrize(
    "first", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\0\0\0\5\0\0\0\0", b"J"]
)
def test_a_beginning_that_is_none_of_postgresqls_is_told_apart(first: bytes) -> None:
    with pytest.raises(NotPostgres):
        Framer(REQUESTS, startup=True).feed(first)


def test_what_follows_a_request_for_encryption_is_a_beginning_again() -> None:
    framer = Framer(REQUESTS, startup=True)
    pieces = framer.feed(struct.pack("!II", 8, SSL_REQUEST) + startup(user="u") + messages.query("SELECT 1"))
    assert [piece.kind for piece in pieces] == [0, 0, b"Q"[0]]


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("commit", "COMMIT"),
        ("END;", "COMMIT"),
        ("  -- why\n/* and */ COMMIT WORK", "COMMIT"),
        ("INSERT INTO t VALUES (1); COMMIT;", "COMMIT"),
        ("ABORT", "ROLLBACK"),
        ("START TRANSACTION ISOLATION LEVEL SERIALIZABLE", "BEGIN"),
        ("ROLLBACK TO SAVEPOINT s", "ROLLBACK TO"),
        ("CREATE PROCEDURE p() BEGIN ATOMIC SELECT 1; END", "CREATE"),
        ("SELECT '; COMMIT'", "SELECT"),
        ("", ""),
        (";", ""),
        ("/**/" * 5_000 + "1", ""),
        ("/*" * 5_000, ""),
    ],
)
def test_the_kind_of_a_statement_is_its_command(sql: str, kind: str) -> None:
    assert kind_of(sql) == kind
