"""How a statement is made to fail, so that server and client agree afterwards.

The failure that the client hears of is, wherever it can be, an error of the server itself: its transaction has really
failed. Only a transaction that is over already (COMMIT was executed) leaves nothing to fail; then the proxy says it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from faults.pgwire import messages
from faults.pgwire.framing import Piece
from faults.pgwire.rules import Rule
from faults.pgwire.session import Request, Session, Statement
from faults.side import Side

ERROR: Final = b"E"[0]
READY: Final = b"Z"[0]
SYNC: Final = b"S"[0]
QUERY: Final = b"Q"[0]
EXECUTE: Final = b"E"[0]
COPY_ENDS: Final = frozenset(b"cf")
FLUSH: Final = messages.message(b"H")

OUR_NAME: Final = "__lab_fault"
"""Name of the statement and portal by which a failure is asked of the server."""

Dialogue = Callable[[Piece], bool]


class Failing:
    """The proxy's own words to server and client. *dialogue* takes each reply and says whether it ends here.

    While *halting*, the client's requests stop where `stops_behind` says: the failure has to come before what follows.
    """

    def __init__(self, session: Session, requests: Side, replies: Side) -> None:
        self.dialogue: Dialogue | None = None
        self.halting = False
        self.halted = False
        self._at_once = False
        self._session = session
        self._requests = requests
        self._replies = replies

    def expect(self, statement: Statement) -> None:
        """Prepare for the failure of a statement that is about to be forwarded, behind its reply."""
        self.halting = True
        # What a transaction does next, its COMMIT for one, must not be done before the statement has failed.
        # Outside of one there is nothing to fail before the Sync has committed it.
        inside = statement.ends_transaction or self._session.open_behind(statement)
        self._at_once = inside and statement.op == "E"

    def stops_behind(self, kind: int) -> bool:
        """Whether a request of this *kind* is the last one that the server shall see before the failure."""
        if kind == EXECUTE:
            stops, self._at_once = self._at_once, False
            return stops
        if kind in COPY_ENDS:
            # Data was asked for: at its end the server is through with a Query, and with an Execute at the next Sync.
            return self._session.head is not None and self._session.head.op == "Q"
        return kind == QUERY or (kind == SYNC and not self._session.copying)

    def instead(self, rule: Rule, statement: Statement) -> None:
        """Have the server fail in place of a statement, which is not forwarded."""
        if statement.op == "E":
            self._session.pending.pop()
            self._send_extended(rule, statement)
        else:
            self._requests.send(messages.query(self._raising(rule)))
        self.dialogue = self._until_failed(statement)

    def afterwards(self, rule: Rule, statement: Statement, piece: Piece) -> None:
        """Fail a statement that the server has executed; *piece* is the end of its reply."""
        if piece.kind == READY:
            if statement.ends_transaction or self._session.status != "T":
                self._replies.send(_error(rule), piece.raw)
            else:
                self._session.pending.append(Statement("Q", "", "T", kind=""))
                self._requests.send(messages.query(self._raising(rule)))
        elif piece.kind == ERROR:
            self._replies.send(_error(rule))  # it has failed by itself, and nothing fails twice before a Sync
        else:
            # The client has sent no Sync yet (but perhaps Flush), so the server would not fail a query apart.
            self._send_extended(rule, Statement("E", "", "T", kind=""))
            self._requests.send(FLUSH)
            self.dialogue = self._until_error

    def _send_extended(self, rule: Rule, statement: Statement) -> None:
        self._requests.send(messages.extended(self._raising(rule), OUR_NAME))
        self._session.pending.extend([*(Request(op, ours=True) for op in "CPB"), statement])
        self._session.skip()

    def _raising(self, rule: Rule) -> str:
        return messages.raising(rule.sqlstate or "", rule.text, cockroach=self._session.cockroach)

    def _until_failed(self, statement: Statement) -> Dialogue:
        def listen(piece: Piece) -> bool:
            if statement.answer is None or piece.kind != READY:
                return False
            self.dialogue = None
            if not statement.ends_transaction or self._session.status != "E":
                return False
            self._roll_back()
            return True

        return listen

    def _roll_back(self) -> None:
        """End the failed transaction, as a COMMIT that fails does; the client hears only that it is over."""
        self._session.pending.append(Statement("Q", "", "E", kind="", ours=True))
        self._requests.send(messages.query("ROLLBACK"))
        self.dialogue = self._until_ready

    def _until_error(self, piece: Piece) -> bool:
        """What the client has asked behind a statement that fails is not answered."""
        if piece.kind == ERROR:
            self.dialogue = None
            return False
        return True

    def _until_ready(self, piece: Piece) -> bool:
        if piece.kind == READY:
            self.dialogue = None
            return False
        return True


def _error(rule: Rule) -> bytes:
    return messages.error_response(rule.sqlstate or "", rule.text)
