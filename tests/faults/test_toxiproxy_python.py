"""The client library for Toxiproxy that the user named drives our server, and a real one where there is one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
import toxiproxy
import toxiproxy.exceptions

from faults.client import ControlClient
from tests.faults.wire import Server, Wire, can_connect, real_server, real_server_binary, wired

_T = TypeVar("_T")


async def call(function: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
    """Run the blocking library beside the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


@pytest.fixture(params=["ours", "real"])
def driven(request: pytest.FixtureRequest, server: Server) -> Iterator[Server]:
    """The server that the library drives."""
    if request.param == "ours":
        yield server
        return
    binary = real_server_binary()
    if binary is None:
        pytest.skip("no toxiproxy-server on PATH, and $TOXIPROXY_SERVER names none")
    with real_server(binary) as real:
        yield real


@pytest.fixture
async def control(driven: Server) -> AsyncIterator[ControlClient]:
    async with ControlClient(driven.url) as client:
        yield client
        for name in await client.proxies():
            await client.delete(name)


@pytest.fixture
async def wire(control: ControlClient) -> AsyncIterator[Wire]:
    async with wired(control) as wire:
        yield wire


@pytest.fixture
async def library(driven: Server, control: ControlClient) -> Any:
    client = toxiproxy.Toxiproxy()
    client.update_api_consumer("127.0.0.1", driven.port)
    return client


async def test_it_sees_the_server_and_its_version(library: Any) -> None:
    assert await call(library.running)
    assert re.search(rb"2\.12\.0|git", await call(library.version))  # one that go installs calls itself so


async def test_it_creates_bends_and_destroys_a_proxy(library: Any, wire: Wire) -> None:
    proxy = await call(library.create, name="mine", upstream=wire.upstream)
    client = await wire.client(proxy.listen)
    server = await wire.accept()
    await call(proxy.add_toxic, type="latency", attributes={"latency": 3_600_000})
    await call(
        proxy.add_toxic, type="limit_data", stream="upstream", attributes={"bytes": 3}, toxicity=0.5, name="half"
    )
    toxics = await call(proxy.toxics)
    assert sorted(toxics) == ["half", "latency_downstream"]
    assert toxics["half"].toxicity == 0.5
    await server.send(b"held")
    assert await client.quiet(0.05)
    assert await call(proxy.destroy_toxic, "latency_downstream")
    assert await client.receive(4) == b"held"
    assert await call(library.destroy, proxy)
    assert await call(library.get_proxy, "mine") is None


async def test_down_cuts_for_as_long_as_its_block_lasts(library: Any, wire: Wire) -> None:
    client, _ = await wire.connect()
    proxy = await call(library.get_proxy, "p")
    down = proxy.down()
    await call(down.__enter__)
    assert await client.ending() == "fin"
    assert not can_connect(wire.listen)
    await call(down.__exit__, None, None, None)
    assert can_connect(wire.listen)


async def test_reset_brings_everything_back(library: Any, wire: Wire) -> None:
    proxy = await call(library.get_proxy, "p")
    await call(proxy.add_toxic, type="timeout", attributes={"timeout": 0})
    await call(proxy.disable)
    assert await call(library.reset)
    again = await call(library.get_proxy, "p")
    assert again.enabled
    assert await call(again.toxics) == {}


async def test_populate_keeps_what_is_there(library: Any, wire: Wire) -> None:
    wanted = [
        {"name": "p", "upstream": wire.upstream, "listen": wire.listen},
        {"name": "q", "upstream": wire.upstream, "listen": "127.0.0.1:0"},
    ]
    assert [proxy.name for proxy in await call(library.populate, wanted)] == ["q"]
    await call(library.destroy_all)
    assert await call(library.proxies) == {}


async def test_its_exceptions_say_what_was_wrong(library: Any, wire: Wire) -> None:
    proxy = await call(library.get_proxy, "p")
    with pytest.raises(toxiproxy.exceptions.InvalidToxic, match="invalid toxic type"):
        await call(proxy.add_toxic, type="latncy")
    await call(proxy.add_toxic, type="noop")
    with pytest.raises(toxiproxy.exceptions.ProxyExists, match="toxic already exists"):
        await call(proxy.add_toxic, type="noop")
    with pytest.raises(toxiproxy.exceptions.NotFound, match="toxic not found"):
        await call(proxy.destroy_toxic, "nonsense")
