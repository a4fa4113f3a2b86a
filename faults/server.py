"""The control API over HTTP: Toxiproxy's routes, plus evidence and connections.

Beyond Toxiproxy: GET and DELETE /evidence; GET /proxies/{proxy}/connections, and DELETE there to reset them all.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec
from aiohttp import web

from faults.errors import FaultError, ListenFailed
from faults.registry import (
    ProxyRequest,
    Registry,
    ToxicRequest,
    add_toxic,
    decode,
    describe_connections,
    describe_evidence,
    describe_proxy,
    describe_toxic,
    update_toxic,
)

API_VERSION = "2.12.0"
"""The version of Toxiproxy whose API this is; clients look at it."""

MOST_BODY = 16 * 1024 * 1024
"""Bytes of a request body that are read."""

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
REGISTRY = web.AppKey("registry", Registry)


def application(registry: Registry) -> web.Application:
    """Return the HTTP application for a registry."""
    app = web.Application(middlewares=[_answer_errors], client_max_size=MOST_BODY)
    app[REGISTRY] = registry
    app.router.add_routes(
        [
            web.get("/version", _version),
            web.get("/proxies", _list),
            web.post("/proxies", _create),
            web.post("/populate", _populate),
            web.post("/reset", _reset),
            web.get("/proxies/{proxy}", _show),
            web.post("/proxies/{proxy}", _update),
            web.patch("/proxies/{proxy}", _update),
            web.delete("/proxies/{proxy}", _delete),
            web.get("/proxies/{proxy}/toxics", _toxics),
            web.post("/proxies/{proxy}/toxics", _add_toxic),
            web.get("/proxies/{proxy}/toxics/{toxic}", _show_toxic),
            web.post("/proxies/{proxy}/toxics/{toxic}", _update_toxic),
            web.patch("/proxies/{proxy}/toxics/{toxic}", _update_toxic),
            web.delete("/proxies/{proxy}/toxics/{toxic}", _remove_toxic),
            web.get("/proxies/{proxy}/connections", _connections),
            web.delete("/proxies/{proxy}/connections", _reset_connections),
            web.get("/evidence", _evidence),
            web.delete("/evidence", _forget),
        ]
    )
    return app


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    # A page in a browser must not be able to bend the user's connections.
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        return web.Response(status=403, text="User agent not allowed\n")
    try:
        return await handler(request)
    except FaultError as error:
        return _json({"error": str(error), "status": error.status}, error.status)
    except web.HTTPException as error:
        reason = f"{request.method} {request.path}: {error.reason}"
        return _json({"error": reason, "status": error.status}, error.status)
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return _json({"error": "internal error, see the log", "status": 500}, 500)


async def _version(request: web.Request) -> web.Response:
    return _json({"version": API_VERSION, "seed": request.app[REGISTRY].seed})


async def _list(request: web.Request) -> web.Response:
    proxies = request.app[REGISTRY].proxies
    return _json({name: describe_proxy(proxies[name]) for name in sorted(proxies)})


async def _create(request: web.Request) -> web.Response:
    proxy = request.app[REGISTRY].create(decode(await request.read(), ProxyRequest))
    return _json(describe_proxy(proxy), 201)


async def _populate(request: web.Request) -> web.Response:
    wanted = decode(await request.read(), list[ProxyRequest])
    done: list[object] = []
    try:
        for proxy in request.app[REGISTRY].populate(wanted):
            done.append(describe_proxy(proxy))  # noqa: PERF401 - what was done before a failure is told
    except FaultError as error:
        return _json({"error": str(error), "status": error.status, "proxies": done}, error.status)
    return _json({"proxies": done}, 201)


async def _reset(request: web.Request) -> web.Response:
    request.app[REGISTRY].reset()
    return web.Response(status=204)


async def _show(request: web.Request) -> web.Response:
    return _json(describe_proxy(request.app[REGISTRY].proxy(request.match_info["proxy"])))


async def _update(request: web.Request) -> web.Response:
    name = request.match_info["proxy"]
    request.app[REGISTRY].proxy(name)
    return _json(describe_proxy(request.app[REGISTRY].update(name, decode(await request.read(), ProxyRequest))))


async def _delete(request: web.Request) -> web.Response:
    request.app[REGISTRY].delete(request.match_info["proxy"])
    return web.Response(status=204)


async def _toxics(request: web.Request) -> web.Response:
    return _json(describe_proxy(request.app[REGISTRY].proxy(request.match_info["proxy"]))["toxics"])


async def _add_toxic(request: web.Request) -> web.Response:
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    return _json(describe_toxic(add_toxic(proxy, decode(await request.read(), ToxicRequest))))


async def _show_toxic(request: web.Request) -> web.Response:
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    return _json(describe_toxic(proxy.toxic(request.match_info["toxic"])))


async def _update_toxic(request: web.Request) -> web.Response:
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    name = request.match_info["toxic"]
    proxy.toxic(name)
    return _json(describe_toxic(update_toxic(proxy, name, decode(await request.read(), ToxicRequest))))


async def _remove_toxic(request: web.Request) -> web.Response:
    request.app[REGISTRY].proxy(request.match_info["proxy"]).remove_toxic(request.match_info["toxic"])
    return web.Response(status=204)


async def _connections(request: web.Request) -> web.Response:
    return _json(describe_connections(request.app[REGISTRY].proxy(request.match_info["proxy"])))


async def _reset_connections(request: web.Request) -> web.Response:
    count = request.app[REGISTRY].proxy(request.match_info["proxy"]).reset_connections()
    return _json({"connections": count})


async def _evidence(request: web.Request) -> web.Response:
    return _json(describe_evidence(request.app[REGISTRY].evidence))


async def _forget(request: web.Request) -> web.Response:
    request.app[REGISTRY].evidence.clear()
    return web.Response(status=204)


async def serve(
    host: str,
    port: int,
    *,
    seed: int | None = None,
    config: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
    until_stdin_closes: bool = False,
) -> None:
    """Run the control API until SIGINT or SIGTERM (or the end of standard input).

    *announce* is called with the API's URL once it answers. Raises ListenFailed if the address cannot be had, and
    BadRequest or OSError for a configuration that cannot be used.
    """
    registry = Registry(secrets.randbits(32) if seed is None else seed)
    runner = web.AppRunner(application(registry), access_log=None)
    stop = _stop_event(until_stdin_closes=until_stdin_closes)
    try:
        if config is not None:
            list(registry.populate(decode(config.read_bytes(), list[ProxyRequest])))
        await runner.setup()
        site = web.TCPSite(runner, host, port, shutdown_timeout=1.0)
        try:
            await site.start()
        except OSError as error:
            raise ListenFailed(f"listen tcp {host}:{port}: {os.strerror(error.errno or 0)}") from error
        bound_host, bound_port = runner.addresses[0][:2]
        announce(f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}")
        await stop.wait()
    finally:
        registry.close()
        await runner.cleanup()


def _stop_event(*, until_stdin_closes: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    if until_stdin_closes:
        loop.add_reader(sys.stdin.fileno(), lambda: None if os.read(sys.stdin.fileno(), 4096) else stop.set())
    return stop
