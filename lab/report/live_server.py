"""The live view: the page of a run that goes on, served to this machine's own browsers only.

It listens on 127.0.0.1 and answers only to that name, so that no web site can reach it through a name of its own. What
is new goes out as server-sent events (WHATWG HTML, section 9.2), piece by piece.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import msgspec
from aiohttp import web

from lab.cleanup import to_its_end
from lab.errors import EnvironmentProblem
from lab.history import Json
from lab.report.page.charts import chart_data
from lab.report.page.content import Part, Report
from lab.report.page.html import page_html, part_html, pieces_of, pieces_of_part

HOST = "127.0.0.1"
EVERY = 1.0
"""Seconds between two looks at the run, while somebody watches."""

PATIENCE = 2.0
"""Seconds that those who watch have to take the last news."""

HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}


class LiveServer:
    """Serves what *report* returns; *every* so many seconds it tells each browser what has changed for it."""

    def __init__(self, report: Callable[[], Report], every: float = EVERY) -> None:
        self._report = report
        self._every = every
        self._over = asyncio.Event()
        self._watching: set[asyncio.Task[None] | None] = set()
        self.port = 0

    def application(self) -> web.Application:
        """Return the routes: the page, and its events."""
        app = web.Application(middlewares=[self._only_here])
        app.router.add_get("/", self._page)
        app.router.add_get("/events", self._events)
        return app

    async def finish(self) -> None:
        """Send the last news to all who watch, and wait until they have it, for a while."""
        self._over.set()
        watching = [task for task in self._watching if task is not None]
        if watching:
            await asyncio.wait(watching, timeout=PATIENCE)

    @web.middleware
    async def _only_here(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        if request.host not in (f"{HOST}:{self.port}", f"localhost:{self.port}"):
            raise web.HTTPForbidden(text=f"This page is at http://{HOST}:{self.port}/ only.\n")
        return await handler(request)

    async def _page(self, _: web.Request) -> web.Response:
        text = page_html(self._report(), live=True).encode("utf-8", "replace")
        return web.Response(body=text, content_type="text/html", charset="utf-8", headers=HEADERS)

    async def _events(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream"})
        await response.prepare(request)
        task = asyncio.current_task()
        self._watching.add(task)
        try:
            with contextlib.suppress(ConnectionError):
                await self._tell(response)
        finally:
            self._watching.discard(task)
        return response

    async def _tell(self, response: web.StreamResponse) -> None:
        news = News()
        while not self._over.is_set():
            await response.write(_event("news", news.of(self._report())))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), self._every)
        report = self._report()
        title = f"{report.verdict.value} · resilience report"
        await response.write(_event("end", {**news.of(report), "title": title}))


class News:
    """What one browser has been told already; runs that have ended are told once."""

    def __init__(self) -> None:
        self._pieces: dict[str, str] = {}
        self._parts: dict[int, Part] = {}

    def of(self, report: Report) -> dict[str, Json]:
        """Return what is new: frames of *parts* that have begun, *pieces* of the page, data of *charts*."""
        changed = {n: part for n, part in enumerate(report.parts) if self._parts.get(n) is not part}
        begun = [number for number in changed if number not in self._parts]
        pieces = dict(pieces_of(report))
        for number, part in changed.items():
            pieces |= pieces_of_part(part, number)
        fresh = {name: str(piece) for name, piece in pieces.items() if self._pieces.get(name) != piece}
        self._pieces |= fresh
        self._parts |= changed
        return {
            "parts": {f"p{number}": str(part_html(report, number)) for number in begun},
            "pieces": dict(fresh),
            "charts": {f"p{number}": chart_data(part) for number, part in changed.items()},
        }


def _event(name: str, data: dict[str, Json]) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


@contextlib.asynccontextmanager
async def live_view(report: Callable[[], Report], port: int = 0, every: float = EVERY) -> AsyncIterator[LiveServer]:
    """Serve a live view while the block runs, on *port* (0: a free one); at its end all who watch get the last news.

    Raises EnvironmentProblem if the port is taken.
    """
    server = LiveServer(report, every)
    runner = web.AppRunner(server.application(), access_log=None, handler_cancellation=True, shutdown_timeout=PATIENCE)
    await runner.setup()
    try:
        site = web.TCPSite(runner, HOST, port)
        try:
            await site.start()
        except OSError as error:
            problem = f"the live view cannot listen on {HOST}:{port}: {error.strerror}"
            raise EnvironmentProblem(problem, "name another port with --port, or none") from error
        server.port = runner.addresses[0][1]
        yield server
        await server.finish()
    finally:
        await to_its_end(runner.cleanup())
