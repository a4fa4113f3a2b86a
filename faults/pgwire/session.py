"""What a session is doing: which statements are under way, however a driver sent them, and what became of them."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, TypeAlias

from faults.pgwire.framing import CANCEL_REQUEST, GSSENC_REQUEST, SSL_REQUEST, STARTUP, Piece
from faults.pgwire.messages import error_fields, startup_parameters, strings, text
from faults.pgwire.names import Names
from faults.pgwire.sql import kind_of

REQUESTS: Final = frozenset(b"QPBDCESFcf")
"""Messages of the client that a session follows."""

REPLIES: Final = frozenset(b"123nTCEZIsSKVGWA")
"""Messages of the server that a session follows."""

MOST_UNSURE: Final = 1_000
"""Statements of one implicit transaction whose answers are put right if it fails in the end."""

CONNECT: Final = "CONNECT"
"""Kind of the statement that stands for the start of a session."""

# The kind of the reply that settles a request of a kind.
_SETTLES: Final = {b"1"[0]: "P", b"2"[0]: "B", b"3"[0]: "C", b"n"[0]: "D", b"T"[0]: "D"}
_EXECUTED: Final = frozenset(b"CIs")
_STATUS_BEHIND: Final = {"BEGIN": "T", "COMMIT": "I", "ROLLBACK": "I", "ROLLBACK TO": "T"}
_READY_AFTER: Final = ("S", "Q", "F")


class Request:
    """A message of the client that the server will answer: *op* is its type; *ours*: the client has not sent it."""

    __slots__ = ("op", "ours")

    def __init__(self, op: str, *, ours: bool = False) -> None:
        self.op = op
        self.ours = ours


_SHARED: Final = {op: Request(op) for op in "PBDCS"}
"""Requests of the client: all of a type are alike."""


class Statement(Request):
    """A request that executes SQL.

    *answer* is what the server said: a command tag, a SQLSTATE, or None so far. *claim* is for whoever has plans with
    its reply, *firing* for its record. *status* is the transaction's when it was asked: I none, T in one, E failed.
    """

    __slots__ = ("answer", "claim", "firing", "kind", "sql", "status")

    def __init__(self, op: str, sql: str, status: str, *, kind: str | None = None, ours: bool = False) -> None:
        self.op = op
        self.ours = ours
        self.sql = sql
        self.kind = kind_of(sql) if kind is None else kind
        self.status = status
        self.answer: str | None = None
        self.claim: Any = None
        self.firing: Any = None

    def settle(self, answer: str) -> None:
        """Note what the server said, in the record too."""
        self.answer = answer
        if self.firing is not None:
            self.firing.answer = answer

    @property
    def ends_transaction(self) -> bool:
        """Whether it is COMMIT or ROLLBACK."""
        return self.kind in ("COMMIT", "ROLLBACK")


Run: TypeAlias = tuple[Request, Statement, Request]
"""Bind, Execute and Sync."""


class Session:
    """The state of one conversation, fed with the pieces of both directions in the order of their arrival."""

    def __init__(self) -> None:
        self.parameters: dict[str, str] = {}
        self.server: dict[str, str] = {}
        self.pid: int | None = None
        self.status = "I"
        self.begun = False
        self.pending: deque[Request] = deque()
        self._statements = Names()
        self._portals = Names()
        self._skipping = False
        self.copying = False
        self._unsure: list[Statement] = []

    @property
    def application_name(self) -> str:
        """The name that the application gave, at the start or since."""
        name = self.server.get("application_name")
        return self.parameters.get("application_name", "") if name is None else name

    @property
    def cockroach(self) -> bool:
        """Whether the server is CockroachDB, or one that is derived from it and says so."""
        return "crdb_version" in self.server or any(told.startswith("CockroachDB") for told in self.server.values())

    @property
    def head(self) -> Request | None:
        """The request that the server is answering now."""
        return self.pending[0] if self.pending else None

    def answering(self, kind: int) -> Request | None:
        """Return the request that a message of a *kind* answers: an error while a statement is prepared is its own."""
        if kind == 0x45:  # E: ErrorResponse
            for request in self.pending:
                if isinstance(request, Statement):
                    return request
                if request.op == "S":
                    break
        return self.head

    def open_behind(self, statement: Statement) -> bool:
        """Whether a transaction will be open behind a statement under way, unless something fails."""
        is_open = self.status != "I"
        for request in self.pending:
            if isinstance(request, Statement):
                is_open = request.kind == "BEGIN" or (is_open and not request.ends_transaction)
            if request is statement:
                break
        return is_open

    @property
    def synced(self) -> bool:
        """Whether the client has asked for a ReadyForQuery that has not come yet."""
        return any(request.op in _READY_AFTER for request in self.pending)

    # --- the client's side ----------------------------------------------------------------------------------------

    def request(self, piece: Piece) -> Statement | None:
        """Take a piece of the client; return the statement that it begins, if the server will look at one."""
        kind, body, _ = piece
        if kind == STARTUP:
            return self._begin(body)
        op = chr(kind)
        if op == "S":
            self._sync()
        elif op in "cf":
            self.copying = False
        elif not self._skipping:
            return self._asked(op, body)
        return None

    def runs(self, name: bytes) -> Run | None:
        """Return what Bind, Execute and Sync of a prepared statement would ask, if the server would look at it now."""
        if self._skipping or self.copying:
            return None
        return _SHARED["B"], Statement("E", self._statements.get(name), self.status), _SHARED["S"]

    def run(self, run: Run) -> None:
        """Take what `runs` has returned, now or before, as if it had been asked piece by piece."""
        run[1].status = self.status
        self._portals.put(b"", run[1].sql)
        self.pending.extend(run)

    def skip(self) -> None:
        """Note that the server throws away what comes, up to the next Sync: it has been made to fail."""
        self._skipping = True

    def _begin(self, body: bytes) -> Statement | None:
        if int.from_bytes(body[:4], "big") in (SSL_REQUEST, GSSENC_REQUEST, CANCEL_REQUEST):
            return None
        self.begun = True
        self.parameters = startup_parameters(body)
        # The server is ready when it says so for the first time, as after a query.
        statement = Statement("Q", "", self.status, kind=CONNECT)
        self.pending.append(statement)
        return statement

    def _sync(self) -> None:
        if not self.copying:  # a server that is taking in data ignores it
            self._skipping = False
            self.pending.append(_SHARED["S"])

    def _asked(self, op: str, body: bytes) -> Statement | None:
        if op == "B":
            portal, name = strings(body, 2)
            self._portals.put(portal, self._statements.get(name))
        elif op == "E":
            return self._execute(op, self._portals.get(body[: body.find(b"\0")]))
        elif op in "QF":
            return self._execute(op, text(body.split(b"\0", 1)[0]) if op == "Q" else "")
        elif op == "P":
            name, sql = strings(body, 2)
            self._statements.put(name, text(sql))
        elif op == "C" and body[:1] in (b"S", b"P"):
            (self._statements if body[:1] == b"S" else self._portals).drop(strings(body[1:], 1)[0])
        self.pending.append(_SHARED[op])
        return None

    def _execute(self, op: str, sql: str) -> Statement:
        statement = Statement(op, sql, self.status)
        self.pending.append(statement)
        return statement

    # --- the server's side ----------------------------------------------------------------------------------------

    def reply(self, piece: Piece) -> None:
        """Take a piece of the server; the `answer` of the statement that it belongs to is set once it is known."""
        head = self.pending[0] if self.pending else None
        kind = piece[0]
        settled = _SETTLES.get(kind)
        if settled is not None:
            if head is not None and head.op == settled:
                self.pending.popleft()
        elif kind in _EXECUTED:
            self._executed(head, piece)
        elif kind == 0x5A:  # Z: ReadyForQuery
            self._ready(piece)
        elif kind == 0x45:  # E: ErrorResponse
            self._failed(head, error_fields(piece.body).get("C", "XXXXX"))
        elif kind == 0x53:  # S: ParameterStatus
            name, value = strings(piece.body, 2)
            self.server[text(name)] = text(value)
        elif kind == 0x4B:  # K: BackendKeyData
            self.pid = int.from_bytes(piece.body[:4], "big")
        elif kind == 0x47:  # G: CopyInResponse
            self._copy_in()

    def ran(self, status: str) -> bool:
        """Take the whole answer to a `run`, if one is under way; nobody asks for its words."""
        pending = self.pending
        if len(pending) < 3 or pending[0].op != "B" or pending[1].op != "E" or pending[2].op != "S":
            return False
        self.status = status
        self._unsure.clear()
        pending.popleft()
        pending.popleft()
        pending.popleft()
        return True

    def _executed(self, head: Request | None, piece: Piece) -> None:
        self.copying = False
        if isinstance(head, Statement):
            head.settle(text(piece.body.split(b"\0", 1)[0]) or "nothing")
            # In a pipeline the next ReadyForQuery, which says it for certain, may be far.
            self.status = _STATUS_BEHIND.get(head.kind, self.status)
            if head.ends_transaction:
                self._unsure.clear()
            elif head.op == "E" and self.status == "I" and len(self._unsure) < MOST_UNSURE:
                self._unsure.append(head)
            if head.op == "E":
                self.pending.popleft()

    def _failed(self, head: Request | None, sqlstate: str) -> None:
        self.copying = False
        self.status = "E" if self.status == "T" else self.status
        if isinstance(head, Statement) and head.op != "E":
            head.settle(sqlstate)
            return
        # What ran in the same implicit transaction is undone, and everything up to the next Sync is thrown away.
        for statement in self._unsure:
            statement.settle(sqlstate)
        self._unsure.clear()
        while self.pending and self.pending[0].op != "S":
            skipped = self.pending.popleft()
            if isinstance(skipped, Statement):
                skipped.settle(sqlstate)
        self._skipping = head is not None and not self.pending

    def _ready(self, piece: Piece) -> None:
        self.status = text(piece.body[:1]) or "I"
        self.copying = False
        self._unsure.clear()
        while self.pending:
            settled = self.pending.popleft()
            if settled.op in _READY_AFTER:
                if isinstance(settled, Statement) and settled.answer is None:
                    settled.settle("ready" if settled.kind == CONNECT else "nothing")
                return

    def _copy_in(self) -> None:
        self.copying = True
        while len(self.pending) > 1 and self.pending[1].op == "S":
            del self.pending[1]
