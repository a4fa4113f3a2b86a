"""The control API's routes for rules and their firings."""

from __future__ import annotations

from aiohttp import web

from faults.http import REGISTRY, json_answer, read_body
from faults.registry import decode
from faults.rule_api import RuleRequest, describe_firing, describe_rule, describe_rules
from faults.rulebook import RuleBook


def rule_routes() -> list[web.RouteDef]:
    """Return the routes under /pg."""
    return [
        web.get("/pg/rules", _rules, allow_head=False),
        web.post("/pg/rules", _arm),
        web.delete("/pg/rules", _disarm_all),
        web.get("/pg/rules/{rule}", _rule, allow_head=False),
        web.delete("/pg/rules/{rule}", _disarm),
        web.post("/pg/rules/{rule}/release", _release),
        web.get("/pg/firings", _firings, allow_head=False),
        web.delete("/pg/firings", _forget),
    ]


def _book(request: web.Request) -> RuleBook:
    return request.app[REGISTRY].rules


async def _rules(request: web.Request) -> web.Response:
    return json_answer(describe_rules(_book(request)))


async def _arm(request: web.Request) -> web.Response:
    wanted = decode(await read_body(request), RuleRequest)
    return json_answer(describe_rule(request.app[REGISTRY].arm(wanted)), 201)


async def _rule(request: web.Request) -> web.Response:
    return json_answer(describe_rule(_book(request).get(request.match_info["rule"])))


async def _disarm(request: web.Request) -> web.Response:
    _book(request).disarm(request.match_info["rule"])
    return web.Response(status=204)


async def _disarm_all(request: web.Request) -> web.Response:
    _book(request).clear()
    return web.Response(status=204)


async def _release(request: web.Request) -> web.Response:
    return json_answer({"released": _book(request).get(request.match_info["rule"]).release()})


async def _firings(request: web.Request) -> web.Response:
    return json_answer([describe_firing(firing) for firing in _book(request).firings])


async def _forget(request: web.Request) -> web.Response:
    _book(request).firings.clear()
    return web.Response(status=204)
