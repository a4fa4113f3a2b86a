"""All proxies of a server by name, and what the control API can ask of them, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple, TypeVar, cast

import msgspec

from faults.address import parse_address
from faults.errors import BadRequest, Conflict, FaultError, NotFound
from faults.evidence import EvidenceBook
from faults.link import Stream
from faults.pgwire.rules import glob
from faults.proxy import PlacedToxic, Protocol, Proxy, check_toxicity
from faults.rule_api import RuleRequest
from faults.rulebook import ArmedRule, RuleBook
from faults.toxics import Toxic, attributes_of, make_toxic

IGNORED_KEYS = {"logger", "failed_dials"}
"""Keys that clients send back because replies, Toxiproxy's or ours, hold them."""


MOST_NAME = 200
"""Characters of a name: it has to fit in the address of a request."""


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
    protocol: str | None = None
    vanished: bool | None = None


_Request = TypeVar("_Request", ToxicRequest, ProxyRequest, list[ProxyRequest], RuleRequest)


def decode(body: bytes, shape: type[_Request]) -> _Request:
    """Read a JSON body; raise BadRequest with the place and the reason. Keys may be in any case, as in Go."""
    try:
        return msgspec.convert(_lower_keys(msgspec.json.decode(body)), shape)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
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
        self.rules = RuleBook()
        self.proxies: dict[str, Proxy] = {}

    def proxy(self, name: str) -> Proxy:
        """Return a proxy or raise NotFound."""
        if name not in self.proxies:
            raise NotFound(f"proxy not found: '{name}'")
        return self.proxies[name]

    def create(self, request: ProxyRequest) -> Proxy:
        """Make a proxy, with its toxics. Nothing is left behind when any of it is refused."""
        toxics = check_proxy(request)
        name = cast("str", request.name)
        if name in self.proxies:
            raise Conflict(f"proxy already exists: '{name}'")
        listen, protocol = request.listen or "127.0.0.1:0", _protocol(request.protocol, "tcp")
        proxy = Proxy(
            name, listen, cast("str", request.upstream), seed=self.seed, evidence=self.evidence, rules=self.rules
        )
        proxy.protocol = protocol
        if request.enabled is not False:
            proxy.start()
        for toxic in toxics:
            proxy.add_toxic(toxic.name, toxic.toxic, toxic.stream, toxic.toxicity)
        self.proxies[name] = proxy
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
            old.protocol = _protocol(request.protocol, old.protocol)
            if request.toxics:
                _replace_toxics(old, check_proxy(request))
            return old
        return self._replace(old, request)

    def _replace(self, old: Proxy, request: ProxyRequest) -> Proxy:
        enabled = old.enabled
        old.stop()
        del self.proxies[old.name]
        try:
            new = self.create(request)
        except FaultError:
            self.proxies[old.name] = old
            if enabled:
                old.start()
            raise
        old.close()
        return new

    def update(self, name: str, request: ProxyRequest) -> Proxy:
        """Change listen, upstream or enabled, all or nothing; live connections are cut when an address changes."""
        proxy = self.proxy(name)
        upstream = request.upstream or proxy.upstream
        parse_address(upstream, "upstream")
        proxy.protocol = _protocol(request.protocol, proxy.protocol)
        if request.enabled is False:
            proxy.stop()
        was = proxy.listen
        if request.listen and not proxy.listens_at(request.listen):
            proxy.move(request.listen)
        if request.enabled:
            _start_or_move_back(proxy, was)
        if upstream != proxy.upstream:
            proxy.retarget(upstream)
        return proxy

    def arm(self, request: RuleRequest) -> ArmedRule:
        """Put a rule in force; raise BadRequest if no proxy that it is for follows PostgreSQL's conversation."""
        rule = request.rule()
        named = [proxy for proxy in self.proxies.values() if glob(rule.where.proxy, proxy.name)]
        if named and all(proxy.protocol != "postgresql" for proxy in named):
            name = named[0].name
            remedy = f'PATCH /proxies/{name} with {{"protocol": "postgresql"}}'
            raise BadRequest(
                f"proxy '{name}' carries bytes and follows no conversation, so no rule can match; {remedy}"
            )
        return self.rules.arm(rule)

    def delete(self, name: str) -> None:
        """End a proxy and its connections."""
        self.proxy(name).close()
        del self.proxies[name]

    def reset(self) -> None:
        """Enable every proxy and take all toxics away; all are tried before a failure to listen is raised."""
        problems: list[FaultError] = []
        self.rules.clear()
        for proxy in self.proxies.values():
            for toxic in list(proxy.toxics):
                proxy.remove_toxic(toxic)
            proxy.come_back()
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


def _start_or_move_back(proxy: Proxy, was: str) -> None:
    try:
        proxy.start()
    except FaultError:
        proxy.move(was)
        raise


def _protocol(given: str | None, otherwise: Protocol) -> Protocol:
    if given is None:
        return otherwise
    if given not in ("tcp", "postgresql"):
        raise BadRequest(f"unknown protocol '{given}': known: tcp, postgresql")
    return cast("Protocol", given)


def check_proxy(request: ProxyRequest, where: str = "") -> list[WantedToxic]:
    """Return the toxics of a requested proxy; raise BadRequest for one that could not be made."""
    for field in ("name", "upstream"):
        if not getattr(request, field):
            raise BadRequest(f"missing required field: {field}{where}")
    _check_name(cast("str", request.name))
    parse_address(cast("str", request.upstream), "upstream")
    if request.listen:
        parse_address(request.listen, "listen")
    if request.vanished:
        raise BadRequest(f'a proxy vanishes when it is there: PATCH it with {{"vanished": true}}{where}')
    toxics = [_wanted(toxic) for toxic in request.toxics or ()]
    names = [toxic.name for toxic in toxics]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise BadRequest(f"two toxics are called '{twice}'{where}")
    return toxics


def _check_name(name: str) -> None:
    if name in (".", "..") or "/" in name or not name.isprintable() or len(name) > MOST_NAME:
        rule = f"at most {MOST_NAME} printable characters, without '/', other than '.' and '..'"
        raise BadRequest(f"no request could address the name {name!r:.60}: it should be {rule}")


class WantedToxic(NamedTuple):
    """A requested toxic, checked."""

    name: str
    toxic: Toxic
    stream: Stream
    toxicity: float


def _wanted(request: ToxicRequest) -> WantedToxic:
    stream = _stream(request.stream)
    if not request.type:
        raise BadRequest("missing required field: type")
    toxic = make_toxic(request.type, request.attributes or {})
    toxicity = 1.0 if request.toxicity is None else check_toxicity(request.toxicity)
    name = request.name or f"{request.type}_{stream}"
    _check_name(name)
    return WantedToxic(name, toxic, stream, toxicity)


async def set_vanished(proxy: Proxy, vanished: bool | None) -> None:
    """Have a proxy vanish or come back; None leaves it as it is. Raise BadRequest where no proxy can vanish."""
    if vanished:
        await proxy.vanish()
    elif vanished is not None:
        proxy.come_back()


def add_toxic(proxy: Proxy, request: ToxicRequest) -> PlacedToxic:
    """Put a requested toxic on a proxy; raise BadRequest or Conflict with the reason."""
    wanted = _wanted(request)
    return proxy.add_toxic(wanted.name, wanted.toxic, wanted.stream, wanted.toxicity)


def _replace_toxics(proxy: Proxy, wanted: list[WantedToxic]) -> None:
    for name in list(proxy.toxics):
        proxy.remove_toxic(name)
    for toxic in wanted:
        proxy.add_toxic(toxic.name, toxic.toxic, toxic.stream, toxic.toxicity)


def update_toxic(proxy: Proxy, name: str, request: ToxicRequest) -> PlacedToxic:
    """Change attributes (those given) and toxicity of a toxic, all or nothing."""
    old = proxy.toxic(name)
    _refuse_other_place(old, request)
    attributes = {**attributes_of(old.toxic), **(request.attributes or {})}
    toxic = make_toxic(old.toxic.kind, attributes)
    toxicity = old.toxicity if request.toxicity is None else check_toxicity(request.toxicity)
    return proxy.update_toxic(name, toxic, toxicity)


def _refuse_other_place(old: PlacedToxic, request: ToxicRequest) -> None:
    stream = old.stream if request.stream is None else _stream(request.stream)
    for what, is_, wanted in (
        ("name", old.name, request.name),
        ("type", old.toxic.kind, request.type),
        ("stream", old.stream, stream),
    ):
        if wanted is not None and wanted != is_:
            raise BadRequest(f"the {what} of toxic '{old.name}' is '{is_}' and cannot become '{wanted}'")


def _stream(text: str | None) -> Stream:
    if text is None:
        return "downstream"
    if text.lower() not in ("upstream", "downstream"):
        raise BadRequest(f"stream was invalid, can be either upstream or downstream, not '{text}'")
    return cast("Literal['upstream', 'downstream']", text.lower())
