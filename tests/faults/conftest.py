"""One server process for all tests of the proxy; each test has a clean one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from faults.client import ControlClient
from tests.faults.wire import Server, Wire, our_server, wired

SEED = 7


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with our_server(tmp_path_factory.mktemp("faults") / "log", "--seed", str(SEED)) as running:
        yield running


@pytest.fixture
async def control(server: Server) -> AsyncIterator[ControlClient]:
    async with ControlClient(server.url) as client:
        yield client
        for name in await client.proxies():
            await client.delete(name)
        await client.forget_evidence()


@pytest.fixture
async def wire(control: ControlClient) -> AsyncIterator[Wire]:
    async with wired(control) as wire:
        yield wire
