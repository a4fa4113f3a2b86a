"""What a connection does over and over, a prepared statement and its answer, on its short way past all rules."""

from __future__ import annotations

from faults.claims import Claims
from faults.pgwire.framing import Framer
from faults.pgwire.session import Run, Session
from faults.pgwire.shortcut import is_answer, name_to_run
from faults.rulebook import RuleBook


class Routine:
    """Knows the prepared statements that no rule is about, for as long as nothing else is said on the connection."""

    def __init__(
        self, session: Session, client: Framer, server: Framer, claims: Claims, book: RuleBook, proxy: str
    ) -> None:
        self._session = session
        self._client = client
        self._server = server
        self._claims = claims
        self._book = book
        self._proxy = proxy
        self._known: dict[bytes, Run] = {}
        self._version = book.version

    def interrupted(self) -> None:
        """Forget: a name may mean another statement now, or the server throw away what comes."""
        self._known.clear()

    def request(self, data: bytes) -> bool:
        """Whether bytes of the client are routine, and taken note of."""
        name = name_to_run(data)
        if name is None or not self._client.between_messages:
            return False
        if self._version != self._book.version:
            self._version = self._book.version
            self._known.clear()
        run = self._known.get(name) or self._meet(name)
        if run is None:
            return False
        self._session.run(run)
        return True

    def reply(self, data: bytes) -> bool:
        """Whether bytes of the server are routine, and taken note of."""
        if self._claims.watching or not is_answer(data) or not self._server.between_messages:
            return False
        return self._session.ran(chr(data[-1]))

    def _meet(self, name: bytes) -> Run | None:
        run = None if self._claims.watching else self._session.runs(name)
        if run is None or self._book.concerns(self._session.application_name, run[1], self._proxy):
            return None
        self._known[name] = run
        return run
