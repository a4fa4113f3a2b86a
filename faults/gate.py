"""Where rules act: a place on both directions of a connection, next to the client, that follows the conversation.

A connection that is none of PostgreSQL's passes through untouched; one that cannot be followed any more is ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from faults.chunk import End
from faults.pgwire import messages
from faults.pgwire.errors import NotPostgres, ProtocolViolation
from faults.pgwire.framing import BYTES, CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Framer, Piece
from faults.pgwire.rules import Rule
from faults.pgwire.session import CONNECT, REPLIES, REQUESTS, Request, Session, Statement
from faults.rulebook import ArmedRule, Firing, RuleBook
from faults.stage import Receiver

if TYPE_CHECKING:
    from faults.link import Connection

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 128 * 1024
"""Bytes that wait at a closed gate before their source is paused."""

ERROR: Final = b"E"[0]
READY: Final = b"Z"[0]
COPY_BEGINS: Final = frozenset(b"GW")

OUR_NAME: Final = "__lab_fault"
"""Name of the statement and portal by which a failure is asked of the server."""


class Side:
    """One direction at the gate: open, shut (everything waits in order), or a black hole."""

    def __init__(self, follow: Callable[[bytes], list[Piece]], act: Callable[[list[Piece]], None]) -> None:
        self.next: Receiver
        self.rebalance: Callable[[], None]
        self.transparent = False
        self._follow = follow
        self._act = act
        self._shut = False
        self._lost = False
        self._waiting: deque[list[Piece] | bytes] = deque()
        self._size = 0
        self._end: End | None = None

    @property
    def full(self) -> bool:
        """Whether the source has to wait."""
        return self._size >= MOST_WAITING or (not self._shut and self.next.full)

    def put(self, data: bytes) -> None:
        """Take bytes from the source."""
        if self.transparent:
            self.next.put(data)
        elif self._shut:
            self._waiting.append(data)
            self._size += len(data)
        elif not self._lost:
            self._act(self._follow(data))

    def put_end(self, end: End) -> None:
        """Take the end of the stream."""
        if self._shut:
            self._end = end
        else:
            self.next.put_end(end)

    def send(self, *parts: bytes) -> None:
        """Pass bytes on."""
        if len(parts) == 1:
            self.next.put(parts[0])
        elif parts:
            self.next.put(b"".join(parts))

    def shut(self, rest: list[Piece]) -> None:
        """Let nothing pass, beginning with *rest*, until `open`."""
        self._shut = True
        if rest:
            self._waiting.appendleft(rest)
            self._size += sum(len(piece.raw) for piece in rest)

    def open(self) -> None:
        """Let pass what has been waiting, unless something in it shuts the gate again."""
        self._shut = False
        while self._waiting and not self._shut and not self._lost:
            waiting = self._waiting.popleft()
            if isinstance(waiting, bytes):
                self._size -= len(waiting)
                self.put(waiting)
            else:
                self._size -= sum(len(piece.raw) for piece in waiting)
                self._act(waiting)
        if self._end is not None and not self._shut:
            end, self._end = self._end, None
            self.next.put_end(end)
        self.rebalance()

    def swallow(self) -> None:
        """Let everything vanish from now on."""
        self._lost = True
        self._waiting.clear()
        self._size = 0


Found: TypeAlias = tuple[ArmedRule, Firing]


class Gate:
    """Follows one connection, and does to it what the rules say."""

    def __init__(self, connection: Connection, proxy: str, book: RuleBook) -> None:
        self.session = Session()
        self.requests = Side(self._follow_requests, self._requests)
        self.replies = Side(self._follow_replies, self._replies)
        self._client = Framer(REQUESTS, startup=True)
        self._server = Framer(REPLIES)
        self._connection = connection
        self._proxy = proxy
        self._book = book
        # While the proxy talks to the server on its own account: takes each piece, says whether it ends there.
        self._dialogue: Callable[[Piece], bool] | None = None

    # --- the client's side ----------------------------------------------------------------------------------------

    def _follow_requests(self, data: bytes) -> list[Piece]:
        try:
            return self._client.feed(data)
        except NotPostgres:
            self._book.strangers[self._proxy] += 1
            self.requests.transparent = self.replies.transparent = True
            return [Piece(BYTES, b"", self._client.kept + data)]
        except ProtocolViolation as problem:
            return self._break_off(problem)

    def _requests(self, pieces: list[Piece]) -> None:
        session = self.session
        out: list[bytes] = []
        for index, piece in enumerate(pieces):
            if piece.kind >= 0:
                if piece.kind == STARTUP and self._says_no_to_encryption(piece):
                    continue
                statement = session.request(piece)
                if statement is not None and self._book:
                    found = self._consider(statement)
                    if found is not None:
                        self.requests.send(*out)
                        self._strike_request(found, statement, piece, pieces[index + 1 :])
                        return
            out.append(piece.raw)
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
        statement.firing = found[1]
        if found[0].rule.moment == "request":
            return found
        found[1].forwarded = True
        statement.claim = found
        return None

    def _strike_request(self, found: Found, statement: Statement, piece: Piece, rest: list[Piece]) -> None:
        armed, firing = found
        rule = armed.rule
        self._book.firings.append(firing)
        if rule.action in ("delay", "hold"):
            self.requests.shut(rest)
            self._wait(armed, lambda: self._send_late(firing, piece))
        elif rule.action != "error":
            self._cut(armed)
        elif rule.fatal or statement.kind == CONNECT:
            self._end_session(rule)
        else:
            self._fail_instead(rule, statement, rest)

    def _send_late(self, firing: Firing, piece: Piece) -> None:
        firing.forwarded = True
        self.requests.send(piece.raw)
        self.requests.open()

    # --- the server's side ----------------------------------------------------------------------------------------

    def _follow_replies(self, data: bytes) -> list[Piece]:
        if not self.session.begun:
            # A server that speaks first is none of PostgreSQL's.
            self._book.strangers[self._proxy] += 1
            self.requests.transparent = self.replies.transparent = True
            self.requests.send(self._client.kept)
            return [Piece(BYTES, b"", data)]
        try:
            return self._server.feed(data)
        except ProtocolViolation as problem:
            return self._break_off(problem)

    def _replies(self, pieces: list[Piece]) -> None:
        session = self.session
        out: list[bytes] = []
        for index, piece in enumerate(pieces):
            head = session.head
            if piece.kind >= 0:
                session.reply(piece)
            if self._dialogue is not None and self._dialogue(piece):
                continue
            if not isinstance(head, Statement) or head.firing is None:
                if head is None or not head.ours or piece.kind == ERROR:
                    out.append(piece.raw)
                continue
            head.firing.answer = head.answer
            if head.claim is None or piece.kind in COPY_BEGINS:
                out.append(piece.raw)
            elif self._ripe(head):
                self.replies.send(*out)
                self._strike_reply(head, piece, pieces[index + 1 :])
                return
        self.replies.send(*out)

    def _ripe(self, statement: Statement) -> bool:
        """Whether it is time to act on a reply: at its first byte to hold it, else when the whole truth is known."""
        return statement.claim[0].rule.action in ("delay", "hold") or self.session.head is not statement

    def _strike_reply(self, statement: Statement, piece: Piece, rest: list[Piece]) -> None:
        armed, firing = statement.claim
        rule = armed.rule
        statement.claim = None
        self._book.firings.append(firing)
        if rule.action in ("delay", "hold"):
            self.replies.shut(rest)
            self._wait(armed, lambda: self._pass_late(piece))
        elif rule.action != "error":
            self._cut(armed)
        elif rule.fatal:
            self._end_session(rule)
        else:
            self._tell_failure(rule, statement, piece, rest)

    def _pass_late(self, piece: Piece) -> None:
        self.replies.send(piece.raw)
        self.replies.open()

    # --- what rules do --------------------------------------------------------------------------------------------

    def _cut(self, armed: ArmedRule) -> None:
        if armed.rule.action == "reset":
            self._connection.reset()
        elif armed.rule.action == "close":
            self._connection.close()
        else:
            self.requests.swallow()
            self.replies.swallow()
            armed.waiting[self] = self._connection.close

    def _wait(self, armed: ArmedRule, go_on: Callable[[], None]) -> None:
        token = object()

        def let_go() -> None:
            if armed.waiting.pop(token, None) is not None and not self._connection.over:
                go_on()

        armed.waiting[token] = let_go
        if armed.rule.action == "delay":
            asyncio.get_running_loop().call_later(armed.rule.seconds, let_go)

    def _end_session(self, rule: Rule) -> None:
        self.replies.send(messages.error_response(rule.sqlstate or "", rule.text, "FATAL"))
        self._connection.close()

    def _fail_instead(self, rule: Rule, statement: Statement, rest: list[Piece]) -> None:
        """Have the server fail in place of the statement, so that both sides agree on the transaction."""
        pending = self.session.pending
        self._dialogue = self._until_failed(statement)
        if statement.op == "E":
            pending.pop()
            pending.extend([*(Request(op, ours=True) for op in "CPB"), statement])
            self.requests.send(messages.extended(self._raising(rule), OUR_NAME))
            self._requests(rest)
        else:
            self.requests.send(messages.query(self._raising(rule)))
            self.requests.shut(rest)

    def _raising(self, rule: Rule) -> str:
        return messages.raising(rule.sqlstate or "", rule.text, cockroach=self.session.cockroach)

    def _until_failed(self, statement: Statement) -> Callable[[Piece], bool]:
        def listen(piece: Piece) -> bool:
            if statement.answer is None or piece.kind != READY:
                return False
            statement.firing.answer = statement.answer
            self._dialogue = None
            if statement.ends_transaction and self.session.status == "E" and not self.session.pending:
                self._roll_back()
                return True
            self.requests.open()
            return False

        return listen

    def _roll_back(self) -> None:
        """End the failed transaction, as a COMMIT that fails does; the client hears only that it is over."""

        def listen(piece: Piece) -> bool:
            if piece.kind == READY:
                self._dialogue = None
                self.replies.send(piece.raw)
                self.requests.open()
            return True

        self.session.pending.append(Request("Q", ours=True))
        self.requests.send(messages.query("ROLLBACK"))
        self._dialogue = listen

    def _tell_failure(self, rule: Rule, statement: Statement, piece: Piece, rest: list[Piece]) -> None:
        """Tell the client that a statement failed which the server has done."""
        ready = [piece] if piece.kind == READY else []
        if statement.ends_transaction or statement.status != "T":
            self.replies.send(messages.error_response(rule.sqlstate or "", rule.text), *(p.raw for p in ready))
        elif ready:
            self._fail_now(rule)
        else:
            self._dialogue = self._until_ready_to_fail(rule)
        self._replies(rest)

    def _until_ready_to_fail(self, rule: Rule) -> Callable[[Piece], bool]:
        def listen(piece: Piece) -> bool:
            if piece.kind == READY:
                self._dialogue = None
                self._fail_now(rule)
            return True

        return listen

    def _fail_now(self, rule: Rule) -> None:
        # The transaction goes on for the server: it has to fail there too, and that error is the one the client gets.
        self.session.pending.append(Statement("Q", "", "T", kind=""))
        self.requests.send(messages.query(self._raising(rule)))

    def _break_off(self, problem: Exception) -> list[Piece]:
        logger.warning("proxy %s: connection %d ended: %s", self._proxy, self._connection.id, problem)
        self._connection.reset()
        self.requests.swallow()
        self.replies.swallow()
        return []
