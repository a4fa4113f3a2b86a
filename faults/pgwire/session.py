"""What a session is doing: which statements are under way, however a driver sent them, and what became of them."""

from __future__ import annotations

import re
from collections import deque
from functools import lru_cache
from typing import Any, Final

from faults.pgwire.framing import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Piece
from faults.pgwire.messages import error_fields, startup_parameters, strings, text

REQUESTS: Final = frozenset(b"QPBDCESF")
"""Messages of the client that a session follows."""

REPLIES: Final = frozenset(b"123nTCEZIsSKVGW")
"""Messages of the server that a session follows."""

MOST_NAMES: Final = 10_000
"""Prepared statements or portals of one session that are remembered."""

CONNECT: Final = "CONNECT"
"""Kind of the statement that stands for the start of a session."""

# The kind of the reply that settles a request of a kind.
_SETTLES: Final = {b"1"[0]: "P", b"2"[0]: "B", b"3"[0]: "C", b"n"[0]: "D", b"T"[0]: "D"}
_EXECUTED: Final = frozenset(b"CIs")

_KEYWORD = re.compile(r"(?:\s|--[^\n]*\n?|/\*.*?\*/)*([A-Za-z]+)", re.DOTALL)
_LAST_COMMIT = re.compile(r";\s*(?:COMMIT|END)(?:\s+(?:WORK|TRANSACTION))?\s*;?\s*$", re.IGNORECASE)
_SAME = {"END": "COMMIT", "ABORT": "ROLLBACK", "START": "BEGIN"}


@lru_cache(maxsize=4096)
def kind_of(sql: str) -> str:
    """Return the command of a statement in capitals: COMMIT for END too, and for several that end with a COMMIT."""
    if _LAST_COMMIT.search(sql):
        return "COMMIT"
    found = _KEYWORD.match(sql)
    word = found.group(1).upper() if found else ""
    if word == "ROLLBACK" and re.search(r"\bTO\b", sql[:200], re.IGNORECASE):
        return "ROLLBACK TO"
    return _SAME.get(word, word)


class Request:
    """A message of the client that the server will answer: *op* is its type; *ours*: the client has not sent it."""

    __slots__ = ("op", "ours")

    def __init__(self, op: str, *, ours: bool = False) -> None:
        self.op = op
        self.ours = ours


class Statement(Request):
    """A request that executes SQL.

    *answer* is what the server said: a command tag, a SQLSTATE, or None so far. *claim* is for whoever has plans with
    its reply, *firing* for its record. *status* is the transaction's when it was asked: I none, T in one, E failed.
    """

    __slots__ = ("answer", "claim", "firing", "kind", "sql", "status")

    def __init__(self, op: str, sql: str, status: str, *, kind: str | None = None, ours: bool = False) -> None:
        super().__init__(op, ours=ours)
        self.sql = sql
        self.kind = kind_of(sql) if kind is None else kind
        self.status = status
        self.answer: str | None = None
        self.claim: Any = None
        self.firing: Any = None

    @property
    def ends_transaction(self) -> bool:
        """Whether it is COMMIT or ROLLBACK."""
        return self.kind in ("COMMIT", "ROLLBACK")


class Session:
    """The state of one conversation, fed with the pieces of both directions in the order of their arrival."""

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}
        self.server: dict[str, str] = {}
        self.pid: int | None = None
        self.status = "I"
        self.ready = False
        self.pending: deque[Request] = deque()
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}

    @property
    def begun(self) -> bool:
        """Whether the client has sent its beginning."""
        return bool(self.parameters)

    @property
    def application_name(self) -> str:
        """The name that the application gave, at the start or since."""
        return self.server.get("application_name") or self.parameters.get("application_name", "")

    @property
    def cockroach(self) -> bool:
        """Whether the server is CockroachDB."""
        return "crdb_version" in self.server

    @property
    def head(self) -> Request | None:
        """The request that the server is answering now."""
        return self.pending[0] if self.pending else None

    # --- the client's side ----------------------------------------------------------------------------------------

    def request(self, piece: Piece) -> Statement | None:
        """Take a piece of the client; return the statement that it begins, if it does."""
        if piece.kind == STARTUP:
            return self._begin(piece.body)
        op = chr(piece.kind)
        if op in "QF":
            return self._execute(op, text(piece.body.split(b"\0", 1)[0]) if op == "Q" else "")
        if op == "E":
            return self._execute(op, self._portals.get(strings(piece.body, 1)[0], ""))
        if op == "P":
            name, sql = strings(piece.body, 2)
            _remember(self._statements, name, text(sql))
        elif op == "B":
            portal, name = strings(piece.body, 2)
            _remember(self._portals, portal, self._statements.get(name, ""))
        elif op == "C" and piece.body[:1] in (b"S", b"P"):
            names = self._statements if piece.body[:1] == b"S" else self._portals
            names.pop(strings(piece.body[1:], 1)[0], None)
        self.pending.append(Request(op))
        return None

    def _begin(self, body: bytes) -> Statement | None:
        if int.from_bytes(body[:4], "big") in (SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST):
            return None
        self.parameters = startup_parameters(body)
        # The server is ready when it says so for the first time, as after a query.
        statement = Statement("Q", "", self.status, kind=CONNECT)
        self.pending.append(statement)
        return statement

    def _execute(self, op: str, sql: str) -> Statement:
        statement = Statement(op, sql, self.status)
        self.pending.append(statement)
        return statement

    # --- the server's side ----------------------------------------------------------------------------------------

    def reply(self, piece: Piece) -> Request | None:
        """Take a piece of the server; return the request that it belongs to, with its `answer` if that is known now."""
        head = self.head
        kind = piece.kind
        if kind in _SETTLES:
            if head is not None and head.op == _SETTLES[kind]:
                self.pending.popleft()
        elif kind in _EXECUTED:
            self._executed(head, piece)
        elif kind == 0x45:  # E: ErrorResponse
            self._failed(head, piece)
        elif kind == 0x5A:  # Z: ReadyForQuery
            self._ready(piece)
        elif kind == 0x53:  # S: ParameterStatus
            name, value = strings(piece.body, 2)
            self.server[text(name)] = text(value)
        elif kind == 0x4B:  # K: BackendKeyData
            self.pid = int.from_bytes(piece.body[:4], "big")
        return head

    def _executed(self, head: Request | None, piece: Piece) -> None:
        if isinstance(head, Statement):
            head.answer = text(piece.body.split(b"\0", 1)[0]) or "nothing"
            if head.op == "E":
                self.pending.popleft()

    def _failed(self, head: Request | None, piece: Piece) -> None:
        sqlstate = error_fields(piece.body).get("C", "XXXXX")
        if isinstance(head, Statement) and head.op != "E":
            head.answer = sqlstate
            return
        # The server throws away everything up to the next Sync.
        while self.pending and self.pending[0].op not in ("S", "Q", "F"):
            skipped = self.pending.popleft()
            if isinstance(skipped, Statement) and skipped.answer is None:
                skipped.answer = sqlstate

    def _ready(self, piece: Piece) -> None:
        self.status = text(piece.body[:1]) or "I"
        self.ready = True
        while self.pending:
            settled = self.pending.popleft()
            if settled.op in ("S", "Q", "F"):
                if isinstance(settled, Statement) and settled.kind == CONNECT and settled.answer is None:
                    settled.answer = "ready"
                return


def _remember(names: dict[bytes, str], name: bytes, sql: str) -> None:
    names.pop(name, None)
    names[name] = sql
    if len(names) > MOST_NAMES:
        del names[next(iter(names))]
