"""LAB3xx: engines to a database across a network that cannot tell a dead connection, and listeners that retry."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from lab.audit.meaning import meaning
from lab.audit.module import Module
from lab.audit.nodes import DEEPEST, keyword, says, text, unpacks
from lab.audit.reading import called, calls_in, inside
from lab.audit.rule import Hit, rule

_ENGINES = ("create_engine", "create_async_engine")
_NETWORK = re.compile(r"(postgres(ql)?|cockroachdb|mysql|mariadb|oracle|mssql)(\+\w+)?(:|$)")
_HOSTLESS = re.compile(r"\w+(\+\w+)?:///?(\?|$)")
_POOLED = ("pool_size", "max_overflow", "pool_timeout", "pool_recycle")
_NO_PING = ("NullPool", "StaticPool", "SingletonThreadPool")
_MADE_ELSEWHERE = ("creator", "async_creator", "pool", "strategy")
_BOUNDS = re.compile(r"time_?out", re.IGNORECASE)
_AGAIN = ("execute", "executemany", "exec_driver_sql", "do_execute")


@rule(
    "LAB301",
    "an engine without pre-ping",
    why="After a restart or a failover the pool hands out dead connections, and each costs the application an error.",
    mend="Write pool_pre_ping=True.",
    proof="run claims/pre-ping",
    on=ast.Call,
    calls=_ENGINES,
)
def no_ping(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find a pooled engine to a database across a network without ``pool_pre_ping``."""
    if not _to_network(module, call):
        return
    pool = keyword(call, "poolclass")
    if pool is not None and (module.sqlalchemy(pool) is None or module.sqlalchemy(pool) in _NO_PING):
        return
    ping = keyword(call, "pool_pre_ping")
    if ping is None or says(ping, False):
        yield call, f"{module.sqlalchemy(call.func)}() without pool_pre_ping=True"


@rule(
    "LAB302",
    "an engine without time-outs",
    why="A gateway that swallows packets answers nothing: without a time-out the application waits without end.",
    mend="Give connect_args a connect time-out and a command or statement time-out of the driver.",
    proof="run black-hole",
    on=ast.Call,
    calls=_ENGINES,
)
def no_time_out(module: Module, call: ast.Call) -> Iterator[Hit]:
    """Find an engine to a database across a network with no time-out of the driver, in ``connect_args`` or its URL."""
    if not _to_network(module, call):
        return
    arguments = keyword(call, "connect_args")
    if arguments is not None and (not _readable(arguments) or _BOUNDS.search(ast.unparse(arguments))):
        return
    if not _BOUNDS.search(_url(module, call) or "") and not _listens_to_connect(module):
        yield call, f"{module.sqlalchemy(call.func)}() without a time-out of the driver"


@rule(
    "LAB303",
    "statements retried in an engine's events",
    why="A statement cannot be retried inside its transaction: 25P02 follows 40001; in autocommit it is applied twice.",
    mend="Retry the whole transaction, outside, with a fresh session.",
    proof="run claims/do-execute-retry",
    on=ast.FunctionDef,
)
def retrying_listener(module: Module, function: ast.FunctionDef) -> Iterator[Hit]:
    """Find a listener of ``do_execute`` or ``handle_error`` that executes again after an error."""
    event = _listens_to(module, function)
    if event.startswith("do_execute") and _executes_after_error(function):
        yield function, f"{function.name}() executes again in '{event}'"
    elif event == "handle_error" and any(called(call) in _AGAIN for call in calls_in(function.body)):
        yield function, f"{function.name}() executes again in 'handle_error'"


RULES = (no_ping, no_time_out, retrying_listener)


def _to_network(module: Module, call: ast.Call) -> bool:
    """Tell whether an engine certainly goes across a network, and all of its arguments can be seen."""
    if module.sqlalchemy(call.func) not in _ENGINES or unpacks(call):
        return False
    if any(keyword(call, name) is not None for name in _MADE_ELSEWHERE):
        return False
    url = _url(module, call)
    if url is None:
        return any(keyword(call, name) is not None for name in _POOLED)
    # Without a host, it is the local socket or another one in the query.
    return bool(_NETWORK.match(url)) and not _HOSTLESS.match(url)


def _url(module: Module, call: ast.Call) -> str | None:
    return _string(module, call.args[0] if call.args else keyword(call, "url"))


def _string(module: Module, node: ast.AST | None, depth: int = 0) -> str | None:
    """Return a string as far as it can be seen: "{}" stands for what cannot; None if not even its beginning can."""
    if depth > DEEPEST:
        return None
    match node:
        case ast.Constant(value=str() as whole):
            return whole
        case ast.JoinedStr(values=[ast.Constant(value=str()), *_]):
            return "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)
        case ast.BinOp(left=left, op=ast.Add() | ast.Mod()):
            begins = _string(module, left, depth + 1)
            return f"{begins}{{}}" if begins else None
        case ast.Name() | ast.Attribute():
            there, found = meaning(module, node)
            return _string(there, found[0].node, depth + 1) if len(found) == 1 and found[0].how == "value" else None
        case ast.Call():
            return _made_url(module, node, depth)
    return None


def _made_url(module: Module, call: ast.Call, depth: int) -> str | None:
    name = module.resolve(call.func) or ""
    if name.startswith("sqlalchemy.") and name.endswith("URL.create"):
        drivername = _string(module, call.args[0] if call.args else keyword(call, "drivername"), depth + 1)
        query = keyword(call, "query")
        return f"{drivername}://{{}}?{ast.unparse(query) if query else ''}" if drivername else None
    if name.startswith("sqlalchemy.") and name.endswith("make_url") and call.args:
        return _string(module, call.args[0], depth + 1)
    if isinstance(call.func, ast.Attribute) and call.func.attr == "format":
        return _string(module, call.func.value, depth + 1)
    return None


def _readable(arguments: ast.expr) -> bool:
    return isinstance(arguments, ast.Dict) and None not in arguments.keys


def _listens_to_connect(module: Module) -> bool:
    """Tell whether a listener may set time-outs on each connection."""
    calls = (*module.calls.get("listens_for", ()), *module.calls.get("listen", ()))
    return any(len(call.args) > 1 and text(call.args[1]) in {"connect", "do_connect"} for call in calls)


def _listens_to(module: Module, function: ast.FunctionDef) -> str:
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and module.sqlalchemy(decorator.func) == "listens_for":
            return (text(decorator.args[1]) if len(decorator.args) > 1 else None) or ""
    for call in module.calls.get("listen", ()):
        named = call.args[2] if len(call.args) > 2 and module.sqlalchemy(call.func) == "listen" else None
        if isinstance(named, ast.Name) and named.id == function.name:
            return text(call.args[1]) or ""
    return ""


def _executes_after_error(function: ast.FunctionDef) -> bool:
    """Tell whether a function executes within an except, or within a try that a loop repeats."""
    for node in inside(function.body):
        if isinstance(node, ast.ExceptHandler) and any(called(call) in _AGAIN for call in calls_in(node.body)):
            return True
        if isinstance(node, (ast.For, ast.While)):
            tried = [one for one in inside(node.body) if isinstance(one, ast.Try)]
            if any(called(call) in _AGAIN for one in tried for call in calls_in(one.body)):
                return True
    return False
