"""The server as a process: how it starts, what it says when it cannot, and how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from faults.client import ControlClient
from faults.toxics import Latency
from tests.faults.wire import PATIENCE, Server, Wire, can_connect, free_port, our_server, wired


def run(*arguments: str, stdin: int = subprocess.DEVNULL) -> tuple[int, str]:
    """Run a server that cannot start; return its exit code and its standard error."""
    command = [sys.executable, "-m", "faults", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, stdin=stdin, check=False)
    assert done.stdout == ""
    return done.returncode, done.stderr


def config_file(folder: Path, content: object) -> str:
    path = folder / "config.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


@pytest.mark.parametrize("name", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_with_exit_0_and_frees_its_ports(tmp_path: Path, name: signal.Signals) -> None:
    with our_server(tmp_path / "log") as server:
        async with ControlClient(server.url) as control:
            wire = await Wire(control).create()
            await control.add("p", Latency(3600))
            client, peer = await wire.connect()
            await peer.send(b"held")
            server.process.send_signal(name)
            assert await asyncio.to_thread(server.process.wait, PATIENCE) == 0
            assert await client.ending() == "fin"
            assert not can_connect(wire.listen)
            assert not can_connect(f"127.0.0.1:{server.port}")
            wire.close()


def test_it_ends_with_its_standard_input(tmp_path: Path) -> None:
    with our_server(tmp_path / "log") as server:
        assert server.process.stdin is not None
        server.process.stdin.close()
        assert server.process.wait(PATIENCE) == 0


def test_it_ends_when_its_parent_is_killed() -> None:
    start = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-m', 'faults', '--port', '0', "
    script = start + "'--until-stdin-closes'], stdin=subprocess.PIPE); print(p.pid, flush=True); p.wait()"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        lines = [parent.stdout.readline() for _ in range(2)]
        parent.kill()
        assert any(line.startswith("control API") for line in lines)
        assert parent.stdout.read() == ""  # its end: the server, which holds the pipe too, is gone


def test_a_taken_port_is_exit_4_with_a_remedy_in_one_line(server: Server) -> None:
    code, said = run("--port", str(server.port))
    problem = f"listen tcp 127.0.0.1:{server.port}: Address already in use"
    assert (code, said) == (4, f"faults: {problem}; choose another address or end what uses it\n")


def test_a_host_that_does_not_exist_is_exit_4_in_one_line() -> None:
    code, said = run("--host", "no-such-host.invalid")
    assert (code, said.count("\n"), said.startswith("faults: listen tcp no-such-host.invalid:0: ")) == (4, 1, True)


@pytest.mark.parametrize(
    "arguments", [["--port", "99999"], ["--port", "-1"], ["--port", "x"], ["--seed", "x"], ["--nonsense"]]
)
def test_arguments_that_make_no_sense_are_exit_2(arguments: list[str]) -> None:
    code, said = run(*arguments)
    assert (code, "Traceback" in said) == (2, False)


def test_a_standard_input_that_is_no_pipe_is_exit_2(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open() as file:
        code, said = run("--until-stdin-closes", stdin=file.fileno())
    assert (code, said) == (2, "faults: --until-stdin-closes needs a pipe as its standard input\n")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{not json", "bad request body"),
        ({}, "bad request body"),
        ([{"name": "p"}], "missing required field: upstream at proxy 1"),
        ([{"name": "p", "upstream": "a:1", "toxics": [{"type": "latncy"}]}], "did you mean 'latency'?"),
    ],
)
def test_a_broken_configuration_is_exit_2_with_its_name_and_the_reason(
    tmp_path: Path, content: object, reason: str
) -> None:
    path = config_file(tmp_path, content)
    code, said = run("--config", path)
    assert (code, said.count("\n"), said.startswith(f"faults: {path}: ")) == (2, 1, True)
    assert reason in said


def test_a_missing_configuration_is_exit_2() -> None:
    assert run("--config", "/no/such/file") == (2, "faults: /no/such/file: No such file or directory\n")


async def test_a_configuration_makes_proxies_with_toxics(tmp_path: Path) -> None:
    toxic = {"type": "latency", "attributes": {"latency": 5}, "toxicity": 0.5}
    content = [
        {"name": "a", "listen": "localhost:0", "upstream": "127.0.0.1:1", "toxics": [toxic]},
        {"name": "b", "listen": f"127.0.0.1:{free_port()}", "upstream": "127.0.0.1:1", "enabled": False},
    ]
    with our_server(tmp_path / "log", "--config", config_file(tmp_path, content)) as server:
        async with ControlClient(server.url) as control:
            proxies = await control.proxies()
    assert [(proxy.name, proxy.enabled, len(proxy.toxics)) for proxy in proxies.values()] == [
        ("a", True, 1),
        ("b", False, 0),
    ]
    assert proxies["a"].toxics[0].toxicity == 0.5


def test_a_configured_port_that_is_taken_is_exit_4(tmp_path: Path, server: Server) -> None:
    content = [{"name": "a", "listen": f"127.0.0.1:{server.port}", "upstream": "127.0.0.1:1"}]
    code, said = run("--config", config_file(tmp_path, content))
    assert (code, said.count("\n")) == (4, 1)


async def test_it_works_on_asyncios_own_loop(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys; from faults.server import serve; "
        "asyncio.run(serve('127.0.0.1', 0, announce=lambda url: print('control API:', url, flush=True), "
        "until_stdin_closes=True), debug=True)"
    )
    with subprocess.Popen(  # noqa: ASYNC220 - the server's own standard input and output are blocking pipes
        [sys.executable, "-X", "dev", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stderr is not None
        url = process.stdout.readline().removeprefix("control API: ").strip()
        async with ControlClient(url) as control, wired(control) as wire:
            await exercise(wire)
        process.stdin.close()
        assert process.wait(PATIENCE) == 0
        said = process.stderr.read()
    assert "Traceback" not in said, said
    assert "ResourceWarning" not in said, said
    assert "never" not in said, said


async def exercise(wire: Wire) -> None:
    control = wire.control
    client, server = await wire.connect()
    data = bytes(range(256)) * 4000
    await asyncio.gather(client.send(data), server.receive(len(data)))
    await control.add(wire.name, Latency(0.05))
    await server.send(b"held")
    server.reset()
    assert await client.receive(4) == b"held"
    assert await client.ending() == "reset"
    client, server = await wire.connect()
    client.shutdown()
    assert await server.ending() == "fin"
    await server.send(b"late")
    server.close()
    assert await client.receive(9) == b"late"
    client, server = await wire.connect()
    await control.disable(wire.name)
    assert await client.ending() == "fin"
    await control.enable(wire.name)
    client, server = await wire.connect()
    assert await control.reset_connections(wire.name) == 1
    assert await client.ending() == "reset"
