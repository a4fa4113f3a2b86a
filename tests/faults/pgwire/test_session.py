"""Following what drivers rarely do: pipelines that fail, COPY with its Syncs, names without number."""

from __future__ import annotations

from faults.pgwire import messages
from faults.pgwire.framing import Framer, Piece
from faults.pgwire.names import MOST_TEXT
from faults.pgwire.session import REPLIES, REQUESTS, Session, Statement
from tests.faults.pgwire.test_framing import startup

SYNC = messages.message(b"S")
READY = messages.message(b"Z", b"I")


def parse(sql: str, name: str = "") -> bytes:
    return messages.message(b"P", f"{name}\0{sql}\0".encode() + b"\0\0")


def execute(name: str = "") -> bytes:
    bind = messages.message(b"B", b"\0" + name.encode() + b"\0\0\0\0\0\0\0")
    return bind + messages.message(b"E", b"\0\0\0\0\0")


def done(tag: str) -> bytes:
    return messages.message(b"C", tag.encode() + b"\0")


def settled(tag: str) -> bytes:
    return messages.message(b"2") + done(tag)


FAILED = messages.error_response("23505", "duplicate")


class Talk:
    """A session that is fed with bytes."""

    def __init__(self) -> None:
        self.session = Session()
        self._server = Framer(REPLIES)
        self._client = Framer(REQUESTS, startup=True)
        self.said(startup(user="u"))
        self.heard(READY)

    def said(self, data: bytes) -> list[Statement]:
        asked = [self.session.request(piece) for piece in self._client.feed(data) if piece.kind >= 0]
        return [statement for statement in asked if statement is not None]

    def heard(self, data: bytes) -> None:
        for piece in self._server.feed(data):
            if piece.kind >= 0:
                self.session.reply(piece)


def test_an_error_in_a_pipeline_answers_for_all_up_to_the_sync() -> None:
    talk = Talk()
    batch = parse("INSERT 1", "s") + execute("s") + execute("s") + execute("s") + SYNC
    first, second, third = talk.said(batch)
    (after,) = talk.said(messages.query("SELECT 1"))
    talk.heard(messages.message(b"1") + settled("INSERT 0 1") + messages.message(b"2") + FAILED + READY)
    assert (first.answer, second.answer, third.answer) == ("23505", "23505", "23505")
    assert talk.session.head is after


def test_what_comes_between_a_failure_and_the_sync_is_no_statement() -> None:
    talk = Talk()
    talk.said(parse("SELECT 1") + messages.message(b"H"))
    talk.heard(FAILED)
    assert talk.said(execute() + messages.query("SELECT 2")) == []
    assert talk.said(SYNC) == []
    talk.heard(READY)
    assert len(talk.said(messages.query("SELECT 3"))) == 1


def test_a_commit_that_was_executed_stays_so_whatever_fails_behind_it() -> None:
    talk = Talk()
    begin, commit, bad = talk.said(b"".join(parse(s) + execute() for s in ("BEGIN", "COMMIT", "INSERT 1")) + SYNC)
    one = messages.message(b"1")
    talk.heard(one + settled("BEGIN") + one + settled("COMMIT") + one + messages.message(b"2") + FAILED + READY)
    assert (begin.answer, commit.answer, bad.answer) == ("BEGIN", "COMMIT", "23505")


def test_a_failure_at_the_sync_is_the_answer_of_a_statement_outside_of_a_transaction() -> None:
    talk = Talk()
    (insert,) = talk.said(parse("INSERT 1") + execute() + SYNC)
    talk.heard(messages.message(b"1") + settled("INSERT 0 1"))
    assert insert.answer == "INSERT 0 1"
    talk.heard(messages.error_response("40001", "at commit") + READY)
    assert insert.answer == "40001"


def test_syncs_during_a_copy_in_are_ignored_as_the_server_does() -> None:
    talk = Talk()
    (copy,) = talk.said(parse("COPY t FROM STDIN") + execute() + SYNC)
    talk.heard(messages.message(b"1") + messages.message(b"2") + messages.message(b"G", b"\0\0\0"))
    talk.said(messages.message(b"d", b"1\n") + SYNC + messages.message(b"c") + SYNC)
    (query,) = talk.said(messages.query("SELECT 1"))
    talk.heard(done("COPY 1") + READY)
    assert copy.answer == "COPY 1"
    assert talk.session.head is query


def test_a_closed_statement_is_forgotten_and_its_name_used_anew() -> None:
    talk = Talk()
    talk.said(parse("SELECT 1", "s") + messages.message(b"C", b"Ss\0") + parse("COMMIT", "s"))
    (statement,) = talk.said(execute("s"))
    assert statement.kind == "COMMIT"


def test_names_without_number_cost_bounded_memory() -> None:
    session = Session()
    sql = b"x" * 10_000
    for number in range(2_000):
        session.request(Piece(b"P"[0], str(number).encode() + b"\0" + sql + b"\0", b""))
    assert session._statements._size <= MOST_TEXT
    assert session._statements.get(b"1999") == sql.decode()
    assert session._statements.get(b"0") == ""
