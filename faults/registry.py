"""All proxies of a server by name, and what the control API can ask of them, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeVar, cast

import msgspec

from faults.address import parse_address
from faults.errors import BadRequest, Conflict, FaultError, NotFound
from faults.evidence import EvidenceBook
from faults.link import Stream
from faults.proxy import PlacedToxic, Proxy, check_toxicity
from faults.toxics import attributes_of, make_toxic

Json = dict[str, object]

IGNORED_KEYS = {"logger"}
"""Keys that clients send back because Toxiproxy's own replies hold them."""


class ToxicRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A toxic as a client asks for it; attributes are checked by the toxic itself."""

    type: str | None = None
    name: str | None = None
    stream: str | None = None
    toxicity: object = None
    attributes: dict[str, object] | None = None


class ProxyRequest(msgspec.Struct, forbid_unknown_fields=True):
    """A proxy as a client asks for it; None is "as it is", or the default for a new one."""

    name: str | None = None
    listen: str | None = None
    upstream: str | None = None
    enabled: bool | None = None
    toxics: list[ToxicRequest] | None = None


_Request = TypeVar("_Request", ToxicRequest, ProxyRequest, list[ProxyRequest])


def decode(body: bytes, shape: type[_Request]) -> _Request:
    """Read a JSON body; raise BadRequest with the place and the reason. Keys may be in any case, as in Go."""
    try:
        return msgspec.convert(_lower_keys(msgspec.json.decode(body)), shape)
    except msgspec.MsgspecError as error:
        raise BadRequest(f"bad request body: {error}") from error
    except RecursionError as error:
        raise BadRequest("bad request body: nested too deeply") from error


def _lower_keys(value: object) -> object:
    if isinstance(value, dict):
        return {
            key.lower(): inner if key.lower() == "attributes" else _lower_keys(inner)
            for key, inner in value.items()
            if key.lower() not in IGNORED_KEYS
        }
    return [_lower_keys(inner) for inner in value] if isinstance(value, list) else value


class Registry:
    """The proxies of one server. *seed* decides every draw of every toxic."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.evidence = EvidenceBook()
        self.proxies: dict[str, Proxy] = {}

    def proxy(self, name: str) -> Proxy:
        """Return a proxy or raise NotFound."""
        if name not in self.proxies:
            raise NotFound(f"proxy not found: '{name}'")
        return self.proxies[name]

    def create(self, request: ProxyRequest) -> Proxy:
        """Make a proxy, with its toxics. Nothing is left behind when any of it is refused."""
        check_proxy(request)
        name = cast("str", request.name)
        if name in self.proxies:
            raise Conflict(f"proxy already exists: '{name}'")
        proxy = self._build(request)
        self.proxies[name] = proxy
        return proxy

    def _build(self, request: ProxyRequest) -> Proxy:
        listen = request.listen or "127.0.0.1:0"
        proxy = Proxy(
            cast("str", request.name), listen, cast("str", request.upstream), seed=self.seed, evidence=self.evidence
        )
        try:
            for toxic in request.toxics or ():
                add_toxic(proxy, toxic)
            if request.enabled is not False:
                proxy.start()
        except FaultError:
            proxy.close()
            raise
        return proxy

    def populate(self, wanted: list[ProxyRequest]) -> Iterator[Proxy]:
        """Check all of *wanted*, then make or replace one after the other, yielding each."""
        for number, request in enumerate(wanted, 1):
            check_proxy(request, f" at proxy {number}")
        for request in wanted:
            yield self._populate_one(request)

    def _populate_one(self, request: ProxyRequest) -> Proxy:
        old = self.proxies.get(cast("str", request.name))
        if old is None:
            return self.create(request)
        if old.upstream == request.upstream and old.listens_at(request.listen):
            if request.toxics:
                _replace_toxics(old, request.toxics)
            return old
        self.delete(old.name)
        return self.create(request)

    def update(self, name: str, request: ProxyRequest) -> Proxy:
        """Change listen, upstream or enabled; live connections are cut when an address changes."""
        proxy = self.proxy(name)
        listen, upstream = request.listen or proxy.listen, request.upstream or proxy.upstream
        parse_address(listen, "listen")
        parse_address(upstream, "upstream")
        wanted = proxy.enabled if request.enabled is None else request.enabled
        if not proxy.listens_at(listen):
            self._move(proxy, listen)
        if upstream != proxy.upstream:
            proxy.upstream = upstream
            proxy.reset_connections()
        if wanted:
            proxy.start()
        else:
            proxy.stop()
        return proxy

    def _move(self, proxy: Proxy, listen: str) -> None:
        was, enabled = proxy.listen, proxy.enabled
        proxy.stop()
        proxy.listen = listen
        try:
            if enabled:
                proxy.start()
        except FaultError:
            proxy.listen = was
            proxy.start()
            raise

    def delete(self, name: str) -> None:
        """End a proxy and its connections."""
        self.proxy(name).close()
        del self.proxies[name]

    def reset(self) -> None:
        """Enable every proxy and take all toxics away; all are tried before a failure to listen is raised."""
        problems: list[FaultError] = []
        for proxy in self.proxies.values():
            for toxic in list(proxy.toxics):
                proxy.remove_toxic(toxic)
            try:
                proxy.start()
            except FaultError as problem:
                problems.append(problem)
        if problems:
            raise problems[0]

    def close(self) -> None:
        """End everything."""
        for name in list(self.proxies):
            self.delete(name)


def check_proxy(request: ProxyRequest, where: str = "") -> None:
    """Raise BadRequest for a proxy that could not be made."""
    for field in ("name", "upstream"):
        if not getattr(request, field):
            raise BadRequest(f"missing required field: {field}{where}")
    if "/" in cast("str", request.name):
        raise BadRequest(f"the name '{request.name}' holds a '/', so no request could address it{where}")
    parse_address(cast("str", request.upstream), "upstream")
    if request.listen:
        parse_address(request.listen, "listen")


def add_toxic(proxy: Proxy, request: ToxicRequest) -> PlacedToxic:
    """Put a requested toxic on a proxy; raise BadRequest or Conflict with the reason."""
    stream = _stream(request.stream)
    if not request.type:
        raise BadRequest("missing required field: type")
    toxic = make_toxic(request.type, request.attributes or {})
    toxicity = 1.0 if request.toxicity is None else check_toxicity(request.toxicity)
    name = request.name or f"{request.type}_{stream}"
    if "/" in name:
        raise BadRequest(f"the name '{name}' holds a '/', so no request could address it")
    return proxy.add_toxic(name, toxic, stream, toxicity)


def _replace_toxics(proxy: Proxy, wanted: list[ToxicRequest]) -> None:
    for name in list(proxy.toxics):
        proxy.remove_toxic(name)
    for toxic in wanted:
        add_toxic(proxy, toxic)


def update_toxic(proxy: Proxy, name: str, request: ToxicRequest) -> PlacedToxic:
    """Change attributes (those given) and toxicity of a toxic, all or nothing."""
    old = proxy.toxic(name)
    attributes = {**attributes_of(old.toxic), **(request.attributes or {})}
    toxic = make_toxic(old.toxic.kind, attributes)
    toxicity = old.toxicity if request.toxicity is None else check_toxicity(request.toxicity)
    return proxy.update_toxic(name, toxic, toxicity)


def _stream(text: str | None) -> Stream:
    if text is None:
        return "downstream"
    if text.lower() not in ("upstream", "downstream"):
        raise BadRequest(f"stream was invalid, can be either upstream or downstream, not '{text}'")
    return cast("Literal['upstream', 'downstream']", text.lower())


def describe_toxic(placed: PlacedToxic) -> Json:
    """Return a toxic as the API shows it."""
    return {
        "attributes": attributes_of(placed.toxic),
        "name": placed.name,
        "type": placed.toxic.kind,
        "stream": placed.stream,
        "toxicity": int(placed.toxicity) if placed.toxicity.is_integer() else placed.toxicity,
    }


def describe_proxy(proxy: Proxy) -> Json:
    """Return a proxy as the API shows it: upstream toxics first, each stream in order of creation."""
    toxics = sorted(proxy.toxics.values(), key=lambda placed: (placed.stream != "upstream", placed.order))
    return {
        "name": proxy.name,
        "listen": proxy.listen,
        "upstream": proxy.upstream,
        "enabled": proxy.enabled,
        "toxics": [describe_toxic(placed) for placed in toxics],
    }


def describe_connections(proxy: Proxy) -> list[Json]:
    """Return the live connections of a proxy; *server_side* is our address towards the upstream."""
    return [
        {
            "id": connection.id,
            "client": connection.client,
            "server_side": connection.server_side,
            "since": connection.since,
            "upstream_bytes": connection.upstream.bytes,
            "downstream_bytes": connection.downstream.bytes,
        }
        for connection in proxy.connections.values()
        if not connection.over
    ]


def describe_evidence(book: EvidenceBook) -> list[Json]:
    """Return every record of a server, the oldest first."""
    return [
        {
            "proxy": record.proxy,
            "name": record.name,
            "type": record.kind,
            "stream": record.stream,
            "since": record.since,
            "until": record.until,
            "first": record.first,
            "last": record.last,
            "events": record.events,
            "bytes": record.bytes,
            "connections": record.connections,
            "touched": [
                {"connection": t.connection, "client": t.client, "events": t.events, "bytes": t.bytes}
                for t in record.touched.values()
            ],
        }
        for record in book
    ]
