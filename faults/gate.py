"""Where rules act: a place on both directions of a connection, next to the client, that follows the conversation.

A connection that is none of PostgreSQL's passes through untouched; one that cannot be followed any more is ended.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from faults.chunk import End
from faults.claims import COPY_BOTH, COPY_IN, Claims, Found
from faults.failing import ERROR, EXECUTE, FLUSH, READY, Failing
from faults.pgwire import messages
from faults.pgwire.errors import NotPostgres, ProtocolViolation
from faults.pgwire.framing import BYTES, CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Framer, Piece
from faults.pgwire.rules import Rule
from faults.pgwire.session import CONNECT, REPLIES, REQUESTS, Request, Session, Statement
from faults.routine import Routine
from faults.rulebook import ArmedRule, Firing, RuleBook
from faults.side import Side
from faults.waits import Waits

if TYPE_CHECKING:
    from faults.link import Connection

logger = logging.getLogger(__name__)

ANY_TIME: Final = frozenset(b"SA")
"""Messages of the server that belong to no request: ParameterStatus, NotificationResponse."""

COPIES: Final = (COPY_IN, COPY_BOTH)
MILESTONES: Final = (READY, *COPIES)


class Gate:
    """Follows one connection, and does to it what the rules say."""

    def __init__(self, connection: Connection, proxy: str, book: RuleBook) -> None:
        self.session = Session()
        self._client = Framer(REQUESTS, startup=True)
        self._server = Framer(REPLIES)
        self._claims = Claims(self.session)
        self._routine = routine = Routine(self.session, self._client, self._server, self._claims, book, proxy)
        self.requests = Side(routine.request, self._follow_requests, self._requests, self._client_ends)
        self.replies = Side(routine.reply, self._follow_replies, self._replies, self._server_ends)
        self._failing = Failing(self.session, self.requests, self.replies)
        self._connection = connection
        self._proxy = proxy
        self._book = book
        self._waits = Waits()

    def ended(self) -> None:
        """Let go of everything: the connection is over."""
        self.requests.swallow()
        self.replies.swallow()
        self._waits.clear()
        self._claims.give_back()

    # --- the client's side ----------------------------------------------------------------------------------------

    def _follow_requests(self, data: bytes) -> list[Piece]:
        try:
            return self._client.feed(data)
        except NotPostgres:
            self._is_strange()
            return [Piece(BYTES, b"", self._client.take() + data)]
        except ProtocolViolation as problem:
            return self._break_off(problem)

    def _requests(self, pieces: list[Piece]) -> None:
        self._routine.interrupted()
        session, book, failing = self.session, self._book, self._failing
        out: list[bytes] = []
        for index, piece in enumerate(pieces):
            kind = piece[0]
            if kind >= 0:
                if kind == STARTUP and self._says_no_to_encryption(piece):
                    continue
                statement = session.request(piece)
                if statement is not None and book:
                    found = self._consider(statement)
                    if found is not None:
                        self.requests.send(*out)
                        self._strike_request(found, statement, piece, pieces[index + 1 :])
                        return
            out.append(piece[2])
            if failing.halting and failing.stops_behind(kind):
                self.requests.send(*out, FLUSH if kind == EXECUTE else b"")
                self._halt(pieces[index + 1 :])
                return
        self.requests.send(*out)

    def _says_no_to_encryption(self, piece: Piece) -> bool:
        code = int.from_bytes(piece.body[:4], "big")
        if code in (SSL_REQUEST, GSSENC_REQUEST):
            self.replies.send(b"N")  # go on in clear, or go away: an encrypted conversation cannot be followed
            return True
        if code == CANCEL_REQUEST:
            self.replies.transparent = True
        return False

    def _consider(self, statement: Statement) -> Found | None:
        """Return the rule that strikes the request itself; one that waits for the reply is left with the statement."""
        connection = self._connection
        found = self._book.consider(self.session, statement, self._proxy, connection.id, connection.client)
        if found is None:
            return None
        self._claims.watching = True
        statement.firing = found[1]
        if found[0].rule.moment == "request":
            return found
        self._claims.add(statement, found)
        if found[0].rule.fails:
            self._failing.expect(statement)
        return None

    def _strike_request(self, found: Found, statement: Statement, piece: Piece, rest: list[Piece]) -> None:
        armed, firing = found
        rule = armed.rule
        self._book.firings.append(firing)
        if rule.action in ("delay", "hold"):
            self.requests.shut(rest)
            self._waits.add(armed, lambda: self._send_late(firing, piece))
        elif rule.action != "error":
            self._cut(armed)
        elif statement.kind == CONNECT or not rule.fails:
            self._end_session(rule)
        else:
            self._failing.instead(rule, statement)
            self._failing.halting = True
            (self._requests if statement.op == "E" else self._halt)(rest)

    def _send_late(self, firing: Firing, piece: Piece) -> None:
        firing.forwarded = True
        self.requests.send(piece.raw)
        self.requests.open()

    def _halt(self, rest: list[Piece]) -> None:
        self._failing.halting = False
        self._failing.halted = True
        self.requests.shut(rest)

    def _client_ends(self, end: End) -> bool:
        if self._waits.endless:
            # Nobody is there any more for whom to hold anything.
            (self._connection.reset if end is End.RESET else self._connection.close)()
            return True
        if not self.requests.shut_now and not self.requests.lost:
            self.requests.send(self._client.take())
        return False

    # --- the server's side ----------------------------------------------------------------------------------------

    def _follow_replies(self, data: bytes) -> list[Piece]:
        if not self.session.begun:
            # A server that speaks first is none of PostgreSQL's.
            self._is_strange()
            self.requests.send(self._client.take())
            return [Piece(BYTES, b"", data)]
        try:
            return self._server.feed(data)
        except ProtocolViolation as problem:
            return self._break_off(problem)

    def _replies(self, pieces: list[Piece]) -> None:
        self._routine.interrupted()
        session = self.session
        if not self._claims.watching:
            for piece in pieces:
                if piece[0] >= 0:
                    session.reply(piece)
            self.replies.send(*[piece[2] for piece in pieces])
            return
        out: list[bytes] = []
        for index, piece in enumerate(pieces):
            head = session.answering(piece.kind)
            if piece.kind >= 0:
                session.reply(piece)
            if self._stays(head, piece):
                struck = self._claims.struck_by(piece)
                if struck is not None:
                    self.replies.send(*out)
                    self._strike_reply(struck, piece, pieces[index + 1 :])
                    return
                continue
            out.append(piece.raw)
            if piece.kind in MILESTONES or not session.pending:
                self.replies.send(*out)
                out.clear()
                self._go_on(piece)
        self.replies.send(*out)

    def _stays(self, head: Request | None, piece: Piece) -> bool:
        """Whether a piece does not reach the client, or not yet."""
        if piece.kind in ANY_TIME:
            return False
        if self._failing.dialogue is not None and self._failing.dialogue(piece):
            return True
        if self._claims.hold_back(head, piece):
            return True
        return head is not None and head.ours and piece.kind not in (ERROR, READY)

    def _strike_reply(self, statement: Statement, piece: Piece, rest: list[Piece]) -> None:
        armed, firing = self._claims.take(statement)
        rule = armed.rule
        firing.at = time.time()
        self._book.firings.append(firing)
        if rule.action in ("delay", "hold"):
            self.replies.shut(rest)
            self._waits.add(armed, lambda: self._pass_late(piece))
        elif rule.action != "error":
            self._cut(armed)
        elif rule.fatal:
            self._end_session(rule)
        else:
            self._failing.afterwards(rule, statement, piece)
            if piece.kind != READY and self._failing.halted:
                # The server is about to throw away what comes up to the Sync, where the requests stop again.
                self._unhalt(halting=True)
            self._go_on(piece)
            self._replies(rest)

    def _pass_late(self, piece: Piece) -> None:
        self.replies.send(piece.raw)
        self._go_on(piece)
        self.replies.open()

    def _go_on(self, piece: Piece) -> None:
        """Let requests pass again, once all that was under way is settled, or data of a COPY is asked for."""
        failing = self._failing
        settled = not self.session.pending and failing.dialogue is None
        if settled:
            self._claims.give_back()
            self._claims.watching = failing.halting = False
        if failing.halted and (settled or piece.kind in COPIES):
            self._unhalt(halting=piece.kind == COPY_IN and not settled)

    def _unhalt(self, *, halting: bool) -> None:
        self._failing.halted = False
        self._failing.halting = halting
        self.requests.open()

    def _server_ends(self, _end: End) -> bool:
        if self.replies.lost:
            return not self._connection.over  # a black hole hides this too
        self.requests.swallow()
        if not self.replies.shut_now:
            self.replies.send(self._server.take())
        return False

    # --- what rules do --------------------------------------------------------------------------------------------

    def _cut(self, armed: ArmedRule) -> None:
        if armed.rule.action == "reset":
            self._connection.reset()
        elif armed.rule.action == "close":
            self._connection.close()
        else:
            self.requests.swallow()
            self.replies.swallow()
            self._waits.add(armed, self._connection.close)

    def _end_session(self, rule: Rule) -> None:
        self.replies.send(messages.error_response(rule.sqlstate or "", rule.text, "FATAL"))
        self._connection.close()

    def _is_strange(self) -> None:
        self._book.strangers[self._proxy] += 1
        self.requests.transparent = self.replies.transparent = True

    def _break_off(self, problem: Exception) -> list[Piece]:
        logger.warning("proxy %s: connection %d ended: %s", self._proxy, self._connection.id, problem)
        self._connection.reset()
        return []
