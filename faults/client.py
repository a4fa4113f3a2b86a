"""A typed client of the control API; it drives this package's server and a real Toxiproxy alike."""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable
from dataclasses import asdict
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from faults.errors import ControlRefused, ControlUnreachable
from faults.link import Stream
from faults.pgwire.rules import Rule
from faults.toxics import Toxic, attributes_of
from faults.toxiproxy import control_url

TIMEOUT = 10.0
"""Seconds that a call may take."""


class ToxicInfo(msgspec.Struct, frozen=True):
    """A toxic as the server shows it; *attributes* are in the API's units (milliseconds, KB/s, bytes)."""

    name: str
    type: str
    stream: str
    toxicity: float
    attributes: dict[str, float]


class ProxyInfo(msgspec.Struct, frozen=True):
    """A proxy as the server shows it; *listen* and *upstream* are host:port.

    *failed_dials* counts the clients that were reset because the upstream could not be reached (0 from a real
    Toxiproxy, which does not count them).
    """

    name: str
    listen: str
    upstream: str
    enabled: bool
    toxics: list[ToxicInfo]
    failed_dials: int = 0
    vanished: bool = False


class ConnectionInfo(msgspec.Struct, frozen=True):
    """A live connection: addresses of the client and of our socket towards the server, bytes carried each way."""

    id: int
    client: str
    server_side: str
    since: float
    upstream_bytes: int
    downstream_bytes: int


class TouchedInfo(msgspec.Struct, frozen=True):
    """What a fault did to one connection."""

    connection: int
    client: str
    events: int
    bytes: int


class EvidenceInfo(msgspec.Struct, frozen=True):
    """What a fault did: times are seconds since the epoch, *connections* counts those touched."""

    proxy: str
    name: str
    type: str
    stream: str | None
    since: float
    until: float | None
    first: float | None
    last: float | None
    events: int
    bytes: int
    connections: int
    touched: list[TouchedInfo]


class RuleInfo(msgspec.Struct, frozen=True):
    """A rule in force: statements that *matched*, those for which it *fired*, those that it holds back now."""

    name: str
    moment: str
    action: str
    matched: int
    fired: int
    waiting: int


class FiringInfo(msgspec.Struct, frozen=True):
    """What a rule did to one statement, and the truth: was it *forwarded*, what did the server *answer*."""

    rule: str
    proxy: str
    connection: int
    client: str
    application_name: str
    pid: int | None
    statement: str
    sql: str
    moment: str
    action: str
    forwarded: bool
    answer: str | None
    at: float


class _Rules(msgspec.Struct):
    rules: list[RuleInfo]


class _Released(msgspec.Struct):
    released: int


class _Populated(msgspec.Struct):
    proxies: list[ProxyInfo] | None


class _Reset(msgspec.Struct):
    connections: int


class _Refusal(msgspec.Struct):
    error: str = ""


_Shape = TypeVar("_Shape")


class ControlClient:
    """One session with a control API, an async context manager. *server* is its URL, or what `faults.toxiproxy` knows.

    Every call raises ControlUnreachable when nothing answers within *timeout* seconds and ControlRefused when the
    server says no.
    """

    def __init__(self, server: object, *, timeout: float = TIMEOUT) -> None:
        self.url = control_url(server)
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> ControlClient:
        """Return the client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the session."""
        await self.close()

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def proxies(self) -> dict[str, ProxyInfo]:
        """Return all proxies by name."""
        return await self._call("GET", "/proxies", dict[str, ProxyInfo])

    async def proxy(self, name: str) -> ProxyInfo:
        """Return one proxy."""
        return await self._call("GET", _path(name), ProxyInfo)

    async def create(
        self, name: str, listen: str, upstream: str, *, enabled: bool = True, protocol: str | None = None
    ) -> ProxyInfo:
        """Make a proxy and return it with its real listening address.

        *protocol* "postgresql" has it follow the conversation, so that rules can strike (this package's server only).
        """
        body: dict[str, object] = {"name": name, "listen": listen, "upstream": upstream, "enabled": enabled}
        if protocol is not None:
            body["protocol"] = protocol
        return await self._call("POST", "/proxies", ProxyInfo, body)

    async def populate(self, proxies: Iterable[tuple[str, str, str]]) -> list[ProxyInfo]:
        """Make or replace proxies given as (name, listen, upstream)."""
        body = [{"name": name, "listen": listen, "upstream": upstream} for name, listen, upstream in proxies]
        return (await self._call("POST", "/populate", _Populated, body)).proxies or []

    async def delete(self, name: str) -> None:
        """End a proxy and its connections."""
        await self._call("DELETE", _path(name), None)

    async def enable(self, name: str) -> ProxyInfo:
        """Listen (again)."""
        return await self._call("POST", _path(name), ProxyInfo, {"enabled": True})

    async def disable(self, name: str) -> ProxyInfo:
        """Refuse new connections and cut the live ones; toxics stay."""
        return await self._call("POST", _path(name), ProxyInfo, {"enabled": False})

    async def vanish(self, name: str) -> ProxyInfo:
        """Have a proxy acknowledge nothing and say nothing, as if its host were lost (this package's server only)."""
        return await self._call("PATCH", _path(name), ProxyInfo, {"vanished": True})

    async def come_back(self, name: str) -> ProxyInfo:
        """End `vanish` (this package's server only)."""
        return await self._call("PATCH", _path(name), ProxyInfo, {"vanished": False})

    async def add(
        self, proxy: str, toxic: Toxic, *, name: str | None = None, stream: Stream = "downstream", toxicity: float = 1.0
    ) -> ToxicInfo:
        """Put a toxic on a proxy; the default name is TYPE_STREAM."""
        body = {
            "type": toxic.kind,
            "name": name or f"{toxic.kind}_{stream}",
            "stream": stream,
            "toxicity": toxicity,
            "attributes": attributes_of(toxic),
        }
        return await self._call("POST", _path(proxy, "toxics"), ToxicInfo, body)

    async def update(self, proxy: str, name: str, toxic: Toxic, *, toxicity: float | None = None) -> ToxicInfo:
        """Change a toxic in place."""
        body: dict[str, object] = {"attributes": attributes_of(toxic)}
        if toxicity is not None:
            body["toxicity"] = toxicity
        return await self._call("POST", _path(proxy, "toxics", name), ToxicInfo, body)

    async def remove(self, proxy: str, name: str) -> None:
        """Take a toxic away."""
        await self._call("DELETE", _path(proxy, "toxics", name), None)

    async def reset(self) -> None:
        """Enable every proxy and take all toxics away."""
        await self._call("POST", "/reset", None)

    async def connections(self, proxy: str) -> list[ConnectionInfo]:
        """Return the live connections of a proxy (this package's server only)."""
        return await self._call("GET", _path(proxy, "connections"), list[ConnectionInfo])

    async def reset_connections(self, proxy: str) -> int:
        """Reset every live connection of a proxy and return how many there were (this package's server only)."""
        return (await self._call("DELETE", _path(proxy, "connections"), _Reset)).connections

    async def close_connections(self, proxy: str) -> int:
        """End every live connection with FIN, all at once; return how many (this package's server only)."""
        return (await self._call("DELETE", _path(proxy, "connections") + "?end=fin", _Reset)).connections

    async def evidence(self) -> list[EvidenceInfo]:
        """Return what every fault did, the oldest first (this package's server only)."""
        return await self._call("GET", "/evidence", list[EvidenceInfo])

    async def forget_evidence(self) -> None:
        """Drop the records of faults that have ended (this package's server only)."""
        await self._call("DELETE", "/evidence", None)

    async def arm(self, rule: Rule) -> RuleInfo:
        """Put a rule in force, on live connections too (this package's server only)."""
        return await self._call("POST", "/pg/rules", RuleInfo, asdict(rule))

    async def disarm(self, name: str) -> None:
        """Take a rule away, and let go of what waits for it (this package's server only)."""
        await self._call("DELETE", f"/pg/rules/{urllib.parse.quote(name, safe='')}", None)

    async def release(self, name: str) -> int:
        """Let go of what a rule holds, and return how much that was (this package's server only)."""
        path = f"/pg/rules/{urllib.parse.quote(name, safe='')}/release"
        return (await self._call("POST", path, _Released)).released

    async def rules(self) -> list[RuleInfo]:
        """Return the rules in force with their counts (this package's server only)."""
        return (await self._call("GET", "/pg/rules", _Rules)).rules

    async def firings(self) -> list[FiringInfo]:
        """Return every firing with the truth about it, the oldest first (this package's server only)."""
        return await self._call("GET", "/pg/firings", list[FiringInfo])

    async def forget_firings(self) -> None:
        """Drop the records of firings (this package's server only)."""
        await self._call("DELETE", "/pg/firings", None)

    async def _call(self, method: str, path: str, shape: type[_Shape] | None, body: object = None) -> _Shape:
        data = None if body is None else msgspec.json.encode(body)
        try:
            async with self._open().request(method, self.url + path, data=data) as response:
                status, answer = response.status, await response.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ControlUnreachable(f"no control API at {self.url}: {str(error) or 'timed out'}") from error
        if status >= 400:
            raise ControlRefused(status, _reason(answer, status))
        if shape is None:
            return None  # type: ignore[return-value]
        try:
            return msgspec.json.decode(answer, type=shape)
        except msgspec.MsgspecError as error:
            raise ControlRefused(status, f"{method} {path}: not the answer of a control API: {error}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            headers = {"Content-Type": "application/json", "User-Agent": "resilience-lab"}
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._timeout), headers=headers)
        return self._session


def _path(proxy: str, *rest: str) -> str:
    return "/".join(["/proxies", *(urllib.parse.quote(part, safe="") for part in (proxy, *rest))])


def _reason(answer: bytes, status: int) -> str:
    try:
        return msgspec.json.decode(answer, type=_Refusal).error or f"HTTP {status}"
    except msgspec.MsgspecError:
        return answer.decode(errors="replace").strip()[:200] or f"HTTP {status}"
