"""The control API over HTTP: Toxiproxy's routes, plus evidence and connections.

Beyond Toxiproxy: rules about moments of PostgreSQL's conversation under /pg; GET and DELETE /evidence;
GET /proxies/{proxy}/connections, and DELETE there to reset them all (?end=fin: to close them).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from aiohttp import web

from faults.address import resolve_listen
from faults.describe import describe_connections, describe_evidence, describe_proxy, describe_toxic
from faults.errors import BadRequest, FaultError, ListenFailed
from faults.http import REGISTRY, json_answer, read_body
from faults.registry import ProxyRequest, Registry, ToxicRequest, add_toxic, decode, set_vanished, update_toxic
from faults.rule_routes import rule_routes

API_VERSION = "2.12.0"
"""The version of Toxiproxy whose API this is; clients look at it."""

MOST_BODY = 1024 * 1024
"""Bytes of a request body that are read."""

STDIN = 0

logger = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def application(registry: Registry) -> web.Application:
    """Return the HTTP application for a registry."""
    app = web.Application(middlewares=[_answer_errors], client_max_size=MOST_BODY)
    app[REGISTRY] = registry
    app.router.add_routes(
        [
            web.get("/version", _version, allow_head=False),
            web.get("/proxies", _list, allow_head=False),
            web.post("/proxies", _create),
            web.post("/populate", _populate),
            web.post("/reset", _reset),
            web.get("/proxies/{proxy}", _show, allow_head=False),
            web.post("/proxies/{proxy}", _update),
            web.patch("/proxies/{proxy}", _update),
            web.delete("/proxies/{proxy}", _delete),
            web.get("/proxies/{proxy}/toxics", _toxics, allow_head=False),
            web.post("/proxies/{proxy}/toxics", _add_toxic),
            web.get("/proxies/{proxy}/toxics/{toxic}", _show_toxic, allow_head=False),
            web.post("/proxies/{proxy}/toxics/{toxic}", _update_toxic),
            web.patch("/proxies/{proxy}/toxics/{toxic}", _update_toxic),
            web.delete("/proxies/{proxy}/toxics/{toxic}", _remove_toxic),
            web.get("/proxies/{proxy}/connections", _connections, allow_head=False),
            web.delete("/proxies/{proxy}/connections", _cut_connections),
            *rule_routes(),
            web.get("/evidence", _evidence, allow_head=False),
            web.delete("/evidence", _forget),
        ]
    )
    return app


@web.middleware
async def _answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    # A page in a browser must not be able to bend the user's connections.
    if request.headers.get("User-Agent", "").startswith("Mozilla/"):
        return web.Response(status=403, text="User agent not allowed\n")
    try:
        return await handler(request)
    except FaultError as error:
        return json_answer({"error": str(error), "status": error.status}, error.status)
    except web.HTTPException as error:
        reason = f"{request.method} {request.path}: {error.reason}"
        return json_answer({"error": reason, "status": error.status}, error.status)
    except Exception:
        logger.exception("%s %s failed", request.method, request.path)
        return json_answer({"error": "internal error, see the log", "status": 500}, 500)


async def _resolved(wanted: ProxyRequest) -> ProxyRequest:
    if wanted.listen:
        wanted.listen = await resolve_listen(wanted.listen)
    return wanted


async def _version(request: web.Request) -> web.Response:
    return json_answer({"version": API_VERSION, "seed": request.app[REGISTRY].seed})


async def _list(request: web.Request) -> web.Response:
    proxies = request.app[REGISTRY].proxies
    return json_answer({name: describe_proxy(proxies[name]) for name in sorted(proxies)})


async def _create(request: web.Request) -> web.Response:
    wanted = await _resolved(decode(await read_body(request), ProxyRequest))
    return json_answer(describe_proxy(request.app[REGISTRY].create(wanted)), 201)


async def _populate(request: web.Request) -> web.Response:
    wanted = [await _resolved(proxy) for proxy in decode(await read_body(request), list[ProxyRequest])]
    done: list[object] = []
    try:
        for proxy in request.app[REGISTRY].populate(wanted):
            done.append(describe_proxy(proxy))  # noqa: PERF401 - what was done before a failure is told
    except FaultError as error:
        return json_answer({"error": str(error), "status": error.status, "proxies": done}, error.status)
    return json_answer({"proxies": done}, 201)


async def _reset(request: web.Request) -> web.Response:
    request.app[REGISTRY].reset()
    return web.Response(status=204)


async def _show(request: web.Request) -> web.Response:
    return json_answer(describe_proxy(request.app[REGISTRY].proxy(request.match_info["proxy"])))


async def _update(request: web.Request) -> web.Response:
    name = request.match_info["proxy"]
    request.app[REGISTRY].proxy(name)
    wanted = await _resolved(decode(await read_body(request), ProxyRequest))
    proxy = request.app[REGISTRY].update(name, wanted)
    await set_vanished(proxy, wanted.vanished)
    return json_answer(describe_proxy(proxy))


async def _delete(request: web.Request) -> web.Response:
    request.app[REGISTRY].delete(request.match_info["proxy"])
    return web.Response(status=204)


async def _toxics(request: web.Request) -> web.Response:
    return json_answer(describe_proxy(request.app[REGISTRY].proxy(request.match_info["proxy"]))["toxics"])


async def _add_toxic(request: web.Request) -> web.Response:
    body = await read_body(request)  # first: the proxy may go while the body comes
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    return json_answer(describe_toxic(add_toxic(proxy, decode(body, ToxicRequest))))


async def _show_toxic(request: web.Request) -> web.Response:
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    return json_answer(describe_toxic(proxy.toxic(request.match_info["toxic"])))


async def _update_toxic(request: web.Request) -> web.Response:
    body = await read_body(request)
    proxy = request.app[REGISTRY].proxy(request.match_info["proxy"])
    name = proxy.toxic(request.match_info["toxic"]).name
    return json_answer(describe_toxic(update_toxic(proxy, name, decode(body, ToxicRequest))))


async def _remove_toxic(request: web.Request) -> web.Response:
    request.app[REGISTRY].proxy(request.match_info["proxy"]).remove_toxic(request.match_info["toxic"])
    return web.Response(status=204)


async def _connections(request: web.Request) -> web.Response:
    return json_answer(describe_connections(request.app[REGISTRY].proxy(request.match_info["proxy"])))


async def _cut_connections(request: web.Request) -> web.Response:
    end = request.query.get("end", "rst")
    if end not in ("rst", "fin"):
        raise BadRequest(f"'end' must be rst or fin, not '{end:.60}'")
    count = request.app[REGISTRY].proxy(request.match_info["proxy"]).cut_connections(reset=end == "rst")
    return json_answer({"connections": count})


async def _evidence(request: web.Request) -> web.Response:
    return json_answer(describe_evidence(request.app[REGISTRY].evidence))


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

    *announce* is called with the API's URL once it answers. Raises ListenFailed if an address cannot be had, and
    BadRequest for a configuration, or a standard input, that cannot be used.
    """
    if not 0 <= port <= 65535:
        raise BadRequest(f"the port must be a number from 0 to 65535, not {port}")
    registry = Registry(secrets.randbits(32) if seed is None else seed)
    runner = web.AppRunner(application(registry), access_log=None)
    stop = _stop_event(until_stdin_closes=until_stdin_closes)
    try:
        if config is not None:
            await _populate_from(config, registry)
        await runner.setup()
        site = web.TCPSite(runner, host, port, shutdown_timeout=1.0)
        try:
            await site.start()
        except OSError as error:
            raise ListenFailed(f"listen tcp {host}:{port}: {_words(error)}") from error
        bound_host, bound_port = runner.addresses[0][:2]
        announce(f"http://[{bound_host}]:{bound_port}" if ":" in bound_host else f"http://{bound_host}:{bound_port}")
        await stop.wait()
    finally:
        registry.close()
        await runner.cleanup()


async def _populate_from(config: Path, registry: Registry) -> None:
    try:
        wanted = [await _resolved(proxy) for proxy in decode(config.read_bytes(), list[ProxyRequest])]
        list(registry.populate(wanted))
    except OSError as error:
        raise BadRequest(f"{config}: {_words(error)}") from error
    except BadRequest as error:
        raise BadRequest(f"{config}: {error}") from error


def _words(error: OSError) -> str:
    # The event loops wrap the system's words in their own; a failed look-up has numbers of its own below 0.
    if error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return error.strerror or str(error)


def _stop_event(*, until_stdin_closes: bool) -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):
            loop.add_signal_handler(name, stop.set)
    if until_stdin_closes:
        try:
            loop.add_reader(STDIN, lambda: None if os.read(STDIN, 4096) else stop.set())
        except OSError as error:
            raise BadRequest("--until-stdin-closes needs a pipe as its standard input") from error
    return stop
