"""The control API: Toxiproxy's routes, status codes and bodies; what ours refuses that Toxiproxy swallows."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from faults.client import ControlClient
from faults.errors import ControlRefused, ControlUnreachable
from faults.toxics import Latency, Noop
from tests.faults.wire import Server, Wire, can_connect, free_port

UPSTREAM = "127.0.0.1:9"


class Http:
    """Raw requests to a server."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self.session = session

    async def __call__(self, method: str, path: str, body: object = None, **headers: str) -> tuple[int, Any]:
        data = body if isinstance(body, bytes | io.BytesIO | None) else json.dumps(body)
        async with self.session.request(method, self.url + path, data=data, headers=headers) as response:
            text = await response.text()
            if response.content_type == "application/json" and text:
                return response.status, json.loads(text)
            return response.status, text


@pytest.fixture
async def http(server: Server, control: ControlClient) -> AsyncIterator[Http]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        yield Http(server.url, session)
        assert (await control.proxies()) is not None  # whatever the test sent, the server is alive


def proxy(**changes: object) -> dict[str, object]:
    return {"name": "p", "listen": "127.0.0.1:0", "upstream": UPSTREAM, **changes}


async def test_version_is_toxiproxys(http: Http) -> None:
    status, body = await http("GET", "/version")
    assert (status, body["version"], body["seed"]) == (200, "2.12.0", 7)


async def test_a_proxy_is_created_shown_and_deleted(http: Http) -> None:
    status, created = await http("POST", "/proxies", proxy())
    assert status == 201
    assert list(created)[:4] == ["name", "listen", "upstream", "enabled"]
    assert "Logger" not in created
    assert created["toxics"] == []
    assert await http("GET", "/proxies/p") == (200, created)
    assert await http("GET", "/proxies") == (200, {"p": created})
    assert can_connect(created["listen"])
    assert await http("DELETE", "/proxies/p") == (204, "")
    assert (await http("GET", "/proxies/p"))[0] == 404


async def test_keys_in_any_case_are_understood_and_an_echoed_reply_is_accepted(http: Http) -> None:
    status, created = await http("POST", "/proxies", {"Name": "p", "UPSTREAM": UPSTREAM})
    assert status == 201
    assert await http("POST", "/proxies/p", {**created, "Logger": {}}) == (200, created)


async def test_an_empty_listening_host_is_loopback(http: Http) -> None:
    for name, listen in (("a", ":0"), ("b", ""), ("c", None), ("d", "localhost:0")):
        status, created = await http("POST", "/proxies", proxy(name=name, listen=listen))
        assert status == 201
        assert created["listen"].startswith("127.0.0.1:")


async def test_toxics_come_in_order_upstream_ones_first(http: Http) -> None:
    await http("POST", "/proxies", proxy())
    for name, stream in (("a", "downstream"), ("b", "upstream"), ("c", "Downstream"), ("d", "upstream")):
        status, body = await http("POST", "/proxies/p/toxics", {"name": name, "type": "noop", "stream": stream})
        assert (status, body["stream"]) == (200, stream.lower())
    _, toxics = await http("GET", "/proxies/p/toxics")
    assert [toxic["name"] for toxic in toxics] == ["b", "d", "a", "c"]


async def test_a_toxic_is_created_with_defaults_changed_key_by_key_and_deleted(http: Http) -> None:
    await http("POST", "/proxies", proxy())
    created = {
        "attributes": {"latency": 5, "jitter": 0},
        "name": "latency_downstream",
        "type": "latency",
        "stream": "downstream",
        "toxicity": 1,
    }
    wanted = {"type": "latency", "attributes": {"latency": 5, "jitter": None}}
    assert await http("POST", "/proxies/p/toxics", wanted) == (200, created)
    changed = {**created, "toxicity": 0.5, "attributes": {"latency": 5, "jitter": 2}}
    path = "/proxies/p/toxics/latency_downstream"
    for method in ("PATCH", "POST"):
        assert await http(method, path, {"attributes": {"jitter": 2}, "toxicity": 0.5}) == (200, changed)
    assert await http("GET", path) == (200, changed)
    assert await http("DELETE", path) == (204, "")
    assert await http("DELETE", path) == (
        404,
        {"error": "toxic not found: 'latency_downstream' on proxy 'p'", "status": 404},
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "bad request body"),
        (b"{", "bad request body"),
        (b"nonsense", "bad request body"),
        (b'{"name": "p"} x', "bad request body"),
        (b"\xff\xfe", "bad request body"),
        (b'{"name": "\xff", "upstream": "a:1"}', "bad request body"),
        (b"[]", "bad request body"),
        (b"null", "bad request body"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        ({"upstream": UPSTREAM}, "missing required field: name"),
        ({"name": "p"}, "missing required field: upstream"),
        ({}, "missing required field: name"),
        (proxy(name="a/b"), "the name 'a/b'"),
        (proxy(name=".."), "the name '..'"),
        (proxy(name="x" * 300), "at most 200"),
        (proxy(name="a\nb"), "printable"),
        (proxy(name=5), "bad request body"),
        (proxy(enabled="yes"), "bad request body"),
        (proxy(upstream="nonsense"), "missing port in address"),
        (proxy(upstream="a..b:80"), "can be no host"),
        (proxy(upstream="a\0b:80"), "can be no host"),
        (proxy(upstream="host:99999"), "from 0 to 65535"),
        (proxy(listen="nonsense"), "missing port in address"),
        (proxy(listen="127.0.0.1:-1"), "from 0 to 65535"),
        (proxy(upstrem="x"), "upstrem"),
        (proxy(toxics=[{"type": "latncy"}]), "did you mean 'latency'?"),
        (proxy(toxics=[{"type": "noop"}, {"type": "noop"}]), "two toxics are called 'noop_downstream'"),
    ],
)
async def test_a_proxy_that_makes_no_sense_is_refused_with_the_reason(http: Http, body: object, reason: str) -> None:
    status, answer = await http("POST", "/proxies", body)
    assert (status, answer["status"]) == (400, 400)
    assert reason in answer["error"]
    assert await http("GET", "/proxies") == (200, {})


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({}, "missing required field: type"),
        ({"type": "latncy"}, "invalid toxic type 'latncy': did you mean 'latency'?"),
        ({"type": "latency", "stream": ""}, "either upstream or downstream"),
        ({"type": "latency", "stream": "sideways"}, "either upstream or downstream"),
        ({"type": "latency", "toxicity": 7}, "toxicity must be a number from 0 to 1, not 7"),
        ({"type": "latency", "toxicity": -0.1}, "toxicity must be"),
        ({"type": "latency", "toxicity": True}, "toxicity must be"),
        ({"type": "latency", "toxicity": "1"}, "toxicity must be"),
        ({"type": "latency", "attributes": {"latncy": 5}}, "did you mean 'latency'?"),
        ({"type": "latency", "attributes": {"latency": -1}}, "'latency' must be from 0 to 86400000, not -1"),
        ({"type": "latency", "attributes": {"latency": "5"}}, "must be a number, not '5'"),
        ({"type": "latency", "attributes": {"latency": True}}, "must be a number"),
        ({"type": "latency", "attributes": {"latency": [1]}}, "must be a number"),
        ({"type": "latency", "attributes": {"latency": 10**400}}, "must be from 0 to"),
        ({"type": "latency", "attributes": [1]}, "bad request body"),
        (b'{"type": "latency", "attributes": {"latency": 1e999}}', "bad request body"),
        ({"type": "latency", "toxicity": 10**400}, "toxicity must be"),
        ({"type": "bandwidth", "attributes": {"rate": -1}}, "'rate' must be from 0"),
        ({"type": "slicer"}, "'average_size' must be from 1"),
        ({"type": "slicer", "attributes": {"average_size": 0}}, "'average_size' must be from 1"),
        ({"type": "slicer", "attributes": {"average_size": 5, "size_variation": 6}}, "must not be above"),
        ({"type": "noop", "attributes": {"x": 1}}, "takes no attributes"),
        ({"type": "noop", "name": "a/b"}, "the name 'a/b'"),
        ({"type": "noop", "toxcity": 1}, "toxcity"),
        (b"\xff", "bad request body"),
    ],
)
async def test_a_toxic_that_makes_no_sense_is_refused_with_the_reason(http: Http, body: object, reason: str) -> None:
    await http("POST", "/proxies", proxy())
    status, answer = await http("POST", "/proxies/p/toxics", body)
    assert (status, answer["status"]) == (400, 400)
    assert reason in answer["error"]
    assert await http("GET", "/proxies/p/toxics") == (200, [])


async def test_a_change_is_all_or_nothing(http: Http) -> None:
    await http("POST", "/proxies", proxy())
    _, toxic = await http("POST", "/proxies/p/toxics", {"type": "latency", "attributes": {"latency": 5}})
    path = "/proxies/p/toxics/latency_downstream"
    for wrong in (
        {"attributes": {"latency": 99, "jitter": "bad"}},
        {"attributes": {"latency": 99}, "toxicity": 7},
        {"attributes": {"latency": 99}, "stream": "upstream"},
        {"attributes": {"latency": 99}, "type": "noop"},
        {"attributes": {"latency": 99}, "name": "other"},
    ):
        assert (await http("PATCH", path, wrong))[0] == 400
        assert await http("GET", path) == (200, toxic)


async def test_names_that_are_taken_are_refused(http: Http) -> None:
    await http("POST", "/proxies", proxy())
    assert (await http("POST", "/proxies", proxy()))[0] == 409
    await http("POST", "/proxies/p/toxics", {"type": "noop", "name": "t"})
    status, answer = await http("POST", "/proxies/p/toxics", {"type": "noop", "name": "t", "stream": "upstream"})
    assert (status, answer["error"]) == (409, "toxic already exists: 't' on proxy 'p'")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nonsense", 404),
        ("GET", "/proxies/", 404),
        ("GET", "/proxies/none", 404),
        ("POST", "/proxies/none", 404),
        ("DELETE", "/proxies/none", 404),
        ("GET", "/proxies/none/toxics", 404),
        ("POST", "/proxies/none/toxics", 404),
        ("GET", "/proxies/none/toxics/t", 404),
        ("PATCH", "/proxies/none/toxics/t", 404),
        ("DELETE", "/proxies/none/connections", 404),
        ("DELETE", "/proxies/none/connections?end=bang", 400),
        ("PUT", "/proxies", 405),
        ("HEAD", "/proxies", 405),
        ("OPTIONS", "/proxies", 405),
        ("GET", "/reset", 405),
        ("DELETE", "/proxies", 405),
    ],
)
async def test_what_is_not_there_is_404_and_a_wrong_method_405(http: Http, method: str, path: str, status: int) -> None:
    assert (await http(method, path, b"not even JSON" if method in ("POST", "PATCH") else None))[0] == status


async def test_a_browser_is_refused(http: Http) -> None:
    assert await http("GET", "/proxies", **{"User-Agent": "Mozilla/5.0"}) == (403, "User agent not allowed\n")


async def test_a_body_too_large_is_refused(http: Http) -> None:
    assert (await http("POST", "/proxies", io.BytesIO(b" " * (2 * 1024 * 1024))))[0] == 413


async def test_a_busy_or_unknown_address_is_500_and_nothing_is_made(http: Http, wire: Wire) -> None:
    for listen in (wire.upstream, "no-such-host.invalid:0"):
        status, answer = await http("POST", "/proxies", proxy(name="x", listen=listen))
        assert (status, answer["error"].startswith("listen tcp")) == (500, True)
        assert (await http("GET", "/proxies/x"))[0] == 404


# --- moving ------------------------------------------------------------------------------------------------------


async def test_a_failed_move_leaves_the_proxy_and_its_connections_as_they_were(http: Http, wire: Wire) -> None:
    client, server = await wire.connect()
    _, before = await http("GET", "/proxies/p")
    assert (await http("PATCH", "/proxies/p", {"listen": wire.upstream, "upstream": "127.0.0.1:1"}))[0] == 500
    assert (await http("PATCH", "/proxies/p", {"listen": "nonsense", "enabled": False}))[0] == 400
    assert await http("GET", "/proxies/p") == (200, before)
    await client.send(b"still here")
    assert await server.receive(10) == b"still here"


async def test_a_proxy_that_cannot_be_enabled_elsewhere_stays_disabled_where_it_was(http: Http, wire: Wire) -> None:
    await wire.control.disable("p")
    _, before = await http("GET", "/proxies/p")
    assert (await http("PATCH", "/proxies/p", {"listen": wire.upstream, "enabled": True}))[0] == 500
    assert await http("GET", "/proxies/p") == (200, before)
    assert (await wire.control.enable("p")).listen == wire.listen


async def test_a_move_cuts_and_listens_elsewhere_with_the_same_toxics(http: Http, wire: Wire) -> None:
    await wire.control.add("p", Noop())
    client, _ = await wire.connect()
    port = free_port()
    status, moved = await http("PATCH", "/proxies/p", {"listen": f"localhost:{port}"})
    assert (status, moved["listen"], len(moved["toxics"])) == (200, f"127.0.0.1:{port}", 1)
    assert await client.ending() == "fin"
    assert not can_connect(wire.listen)
    assert can_connect(moved["listen"])
    status, moved = await http("PATCH", "/proxies/p", {"listen": f"0.0.0.0:{port}"})
    assert (status, moved["listen"]) == (200, f"0.0.0.0:{port}")


async def test_the_same_addresses_change_nothing(http: Http, wire: Wire) -> None:
    client, server = await wire.connect()
    same = {"listen": wire.listen.replace("127.0.0.1", "localhost"), "upstream": wire.upstream, "enabled": True}
    assert (await http("PATCH", "/proxies/p", same))[0] == 200
    assert (await http("PATCH", "/proxies/p", {"listen": "127.0.0.1:0"}))[0] == 200
    await client.send(b"still here")
    assert await server.receive(10) == b"still here"


# --- populate ----------------------------------------------------------------------------------------------------


async def test_populate_creates_with_toxics_keeps_what_is_the_same_and_replaces_the_rest(http: Http) -> None:
    wanted = [proxy(name="a", toxics=[{"type": "latency", "attributes": {"latency": 1}}]), proxy(name="b")]
    status, first = await http("POST", "/populate", wanted)
    assert (status, [p["name"] for p in first["proxies"]]) == (201, ["a", "b"])
    assert first["proxies"][0]["toxics"][0]["attributes"] == {"latency": 1, "jitter": 0}
    assert await http("POST", "/populate", wanted) == (201, first)
    await http("PATCH", "/proxies/b", {"enabled": False})
    await http("PATCH", "/proxies/b", {"enabled": True})
    assert await http("POST", "/populate", wanted) == (201, first)
    status, second = await http("POST", "/populate", [proxy(name="a", upstream="127.0.0.1:10")])
    assert (status, second["proxies"][0]["toxics"], second["proxies"][0]["upstream"]) == (201, [], "127.0.0.1:10")
    assert (await http("GET", "/proxies/b"))[0] == 200


async def test_populate_checks_everything_before_it_makes_anything(http: Http) -> None:
    for wrong, reason in (
        ({"name": "b"}, "missing required field: upstream at proxy 2"),
        (proxy(name="b", toxics=[{"type": "slicer"}]), "average_size"),
    ):
        status, answer = await http("POST", "/populate", [proxy(name="a"), wrong])
        assert (status, answer["proxies"]) == (400, [])
        assert reason in answer["error"]
    assert (await http("POST", "/populate", {"name": "a"}))[0] == 400
    assert await http("GET", "/proxies") == (200, {})


async def test_a_replacement_that_fails_leaves_the_old_proxy(http: Http, wire: Wire) -> None:
    await wire.control.add("p", Latency(0.001))
    status, answer = await http("POST", "/populate", [proxy(name="new"), proxy(listen=wire.upstream)])
    assert (status, [p["name"] for p in answer["proxies"]]) == (500, ["new"])
    kept = await wire.control.proxy("p")
    assert (kept.enabled, kept.listen, len(kept.toxics)) == (True, wire.listen, 1)


# --- whatever comes ----------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KEYS = (
    "name",
    "listen",
    "upstream",
    "enabled",
    "toxics",
    "type",
    "stream",
    "toxicity",
    "attributes",
    "latency",
    "rate",
)
PLAUSIBLE = st.sampled_from(["p", "a", "127.0.0.1:0", UPSTREAM, "noop", "latency", "slicer", "upstream", 1, 0.5, True])
BODIES = st.one_of(
    st.binary(max_size=50),
    st.dictionaries(st.sampled_from(KEYS), PLAUSIBLE | ANYTHING, max_size=6).map(
        lambda body: json.dumps(body).encode()
    ),
    ANYTHING.map(lambda body: json.dumps(body).encode()),
)
PATHS = st.sampled_from(["/proxies", "/populate", "/proxies/p", "/proxies/p/toxics", "/proxies/p/toxics/t", "/reset"])


async def test_whatever_is_posted_the_answer_is_a_result_or_a_reason(http: Http, server: Server) -> None:
    bodies: list[tuple[str, bytes]] = []

    @settings(max_examples=400, database=None, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None)
    @given(PATHS, BODIES)
    def collect(path: str, body: bytes) -> None:
        bodies.append((path, body))

    collect()
    await http("POST", "/proxies", proxy())
    await http("POST", "/proxies/p/toxics", {"type": "latency", "name": "t"})
    for path, body in bodies:
        status, answer = await http("POST", path, body)
        assert status in (200, 201, 204, 400, 404, 409) or answer["error"].startswith("listen tcp"), (
            path,
            body,
            answer,
        )
        if status >= 400:
            assert answer["status"] == status
            assert answer["error"]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n{",
        b"POST /proxies HTTP/1.1\r\nHost: x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        b"GET /proxies/%ff%fe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_a_broken_request_does_no_harm(http: Http, server: Server, request_bytes: bytes) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request_bytes)
    await writer.drain()
    assert (await http("GET", "/version"))[0] == 200
    writer.close()
    await writer.wait_closed()


# --- the client --------------------------------------------------------------------------------------------------


async def test_the_client_says_who_refused_and_why(control: ControlClient) -> None:
    with pytest.raises(ControlRefused, match="proxy not found: 'a b/ü'") as refused:
        await control.proxy("a b/ü")
    assert refused.value.status == 404


async def test_the_client_says_that_nothing_answers() -> None:
    async with ControlClient(f"http://127.0.0.1:{free_port()}") as client:
        with pytest.raises(ControlUnreachable, match="no control API at"):
            await client.proxies()


async def test_the_client_gives_up_on_a_server_that_says_nothing(wire: Wire) -> None:
    async with ControlClient(f"http://{wire.upstream}", timeout=0.2) as client:
        with pytest.raises(ControlUnreachable, match="timed out"):
            await client.proxies()


async def test_the_client_refuses_an_answer_of_something_else(server: Server) -> None:
    async with ControlClient(server.url) as client:
        with pytest.raises(ControlRefused, match="not the answer of a control API"):
            await client._call("GET", "/version", list[int])
