"""Replies that rules have plans with: from the request of a statement to the moment when its reply is struck."""

from __future__ import annotations

from typing import Final, TypeAlias

from faults.pgwire.framing import Piece
from faults.pgwire.session import Request, Session, Statement
from faults.rulebook import ArmedRule, Firing

READY: Final = b"Z"[0]
COPY_IN: Final = b"G"[0]
COPY_BOTH: Final = b"W"[0]

Found: TypeAlias = tuple[ArmedRule, Firing]


class Claims:
    """The claims of one connection. Not *watching*, no rule has to do with what is under way: replies need no look."""

    def __init__(self, session: Session) -> None:
        self.watching = False
        self._session = session
        self._claimed: list[Statement] = []
        self._striking: Statement | None = None

    def add(self, statement: Statement, found: Found) -> None:
        """Claim the reply of a statement that is forwarded."""
        found[1].forwarded = True
        statement.claim = found
        self._claimed.append(statement)

    def take(self, statement: Statement) -> Found:
        """Return the claim on a statement, whose time has come."""
        found: Found = statement.claim
        self._striking = statement.claim = None
        self._claimed.remove(statement)
        return found

    def hold_back(self, head: Request | None, piece: Piece) -> bool:
        """Whether a *piece*, which answers *head*, belongs to a reply that is to be struck."""
        if self._striking is not None:
            return True
        if isinstance(head, Statement) and head.claim is not None and piece.kind != COPY_IN:
            armed = head.claim[0]
            # A server that streams both ways answers nothing until that is over: it cannot be made to fail.
            if not armed.over and not (piece.kind == COPY_BOTH and armed.rule.fails):
                self._striking = head
                return True
            self._give_back(head)
        return False

    def struck_by(self, piece: Piece) -> Statement | None:
        """Return the statement whose time has come: at its first byte to hold it, else when the truth is known."""
        statement = self._striking
        if statement is None:
            return None
        action = statement.claim[0].rule.action
        if action in ("delay", "hold") or piece.kind in (READY, COPY_BOTH):
            return statement
        if statement.op != "E" or self._session.head is statement:
            return None
        # Outside of a transaction a statement is only done when the Sync behind it is.
        done = statement.ends_transaction and action != "error"
        return statement if done or not self._session.synced else None

    def give_back(self) -> None:
        """Give all back: no reply is to come any more."""
        for statement in list(self._claimed):
            self._give_back(statement)

    def _give_back(self, statement: Statement) -> None:
        statement.claim[0].give_back()
        statement.claim = None
        self._claimed.remove(statement)
