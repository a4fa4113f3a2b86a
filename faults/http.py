"""What every handler of the control API needs."""

from __future__ import annotations

import msgspec
from aiohttp import web

from faults.errors import BadRequest
from faults.registry import Registry

REGISTRY = web.AppKey("registry", Registry)
"""Where the application keeps its registry."""


def json_answer(value: object, status: int = 200) -> web.Response:
    """Return *value* as JSON."""
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def read_body(request: web.Request) -> bytes:
    """Return the body; raise BadRequest if it does not arrive whole."""
    try:
        return await request.read()
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BadRequest(f"bad request body: {error}") from error
