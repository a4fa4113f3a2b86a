"""Where a file retries: loops around a try, and the decorators and objects of tenacity, backoff and stamina."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from lab.audit.module import Module
from lab.audit.nodes import LOOPS, keyword, says
from lab.audit.reading import EVERYTHING, caught, classes, inside, leaves, members, touches_database, uses_error

Loop: TypeAlias = ast.For | ast.AsyncFor | ast.While

DRIVERS = ("asyncpg", "psycopg", "psycopg2")
_TROUBLES = EVERYTHING | {"OSError", "ConnectionError", "ConnectionResetError", "TimeoutError", "InterfaceError"}
_BOUNDS = ("timeout", "timeout_at", "wait_for", "fail_after", "move_on_after")


@dataclass(frozen=True, slots=True, eq=False)
class Retry:
    """One place that repeats work on the database: *body* is what each attempt runs, *place* is what repeats it.

    *errors* are the names of the classes it repeats after, as far as they can be seen; *classified* says that it looks
    at the error before it goes on. *loop* and *handlers* are those of a loop, *call* that of a library.
    """

    place: ast.AST
    body: Sequence[ast.stmt]
    errors: frozenset[str]
    classified: bool
    loop: Loop | None = None
    handlers: tuple[ast.ExceptHandler, ...] = ()
    call: ast.Call | None = None
    library: str = ""


def find_retries(module: Module) -> list[Retry]:
    """Return every retry of database work in the file, in no particular order."""
    found = [retry for kind in LOOPS for loop in module.nodes[kind] for retry in _of_loop(module, loop)]
    for kind in (ast.FunctionDef, ast.AsyncFunctionDef):
        for function in module.nodes[kind]:
            found.extend(_of_decorators(module, function))
    return found + list(_of_blocks(module))


# Loops.


def _of_loop(module: Module, loop: Loop) -> Iterator[Retry]:
    if not _counts(module, loop):
        return
    for tried in _tries(loop.body):
        handlers = tuple(one for one in tried.handlers if not leaves(one.body))
        if not handlers or not _ends_when_done(tried, loop):
            continue
        errors = frozenset(name for handler in handlers for name in caught(module, handler))
        if not errors & _TROUBLES and not _of_the_database(module, handlers):
            continue  # something else is tried again, such as a name that is taken
        if touches_database(module, tried.body) or _of_the_database(module, handlers):
            yield Retry(
                loop, tried.body, errors, any(uses_error(one) for one in handlers), loop=loop, handlers=handlers
            )


def _counts(module: Module, loop: Loop) -> bool:
    """Tell whether a loop counts attempts, or goes on for ever; one over items retries nothing."""
    if isinstance(loop, ast.While):
        names = {one.id for one in ast.walk(loop.test) if isinstance(one, ast.Name)}
        changed = {
            n.target.id for n in inside(loop.body) if isinstance(n, ast.AugAssign) and isinstance(n.target, ast.Name)
        }
        return endless(module, loop) or bool(names & changed)
    callee = loop.iter.func if isinstance(loop.iter, ast.Call) else None
    return module.resolve(callee) in {"builtins.range", "itertools.count"}


def endless(module: Module, loop: Loop) -> bool:
    """Tell whether the head of a loop never ends it."""
    if isinstance(loop, ast.While):
        return isinstance(loop.test, ast.Constant) and bool(loop.test.value)
    return isinstance(loop.iter, ast.Call) and module.resolve(loop.iter.func) == "itertools.count"


def _tries(body: Iterable[ast.stmt]) -> Iterator[ast.Try]:
    for statement in body:
        if isinstance(statement, ast.Try):
            yield statement
        elif isinstance(statement, (ast.With, ast.AsyncWith)):
            yield from _tries(statement.body)


def _ends_when_done(tried: ast.Try, loop: Loop) -> bool:
    after = loop.body[loop.body.index(tried) + 1 :] if tried in loop.body else []
    return any(_ends(part, nested=False) for part in (tried.body, tried.orelse, after))


def _ends(statements: Sequence[ast.stmt], *, nested: bool) -> bool:
    for one in statements:
        if isinstance(one, (ast.Return, ast.Break)) and not nested:
            return True
        if isinstance(one, (ast.With, ast.AsyncWith)) and _ends(one.body, nested=nested):
            return True
    return False


def bounded(module: Module, retry: Retry) -> bool:
    """Tell whether anything seen here could end the attempts though none succeeds."""
    if retry.call is not None:
        return _library_stops(module, retry)
    loop = retry.loop
    if loop is None or not endless(module, loop):
        return True
    trial = {id(one) for statement in retry.body for one in ast.walk(statement)}
    for node in inside(loop.body):
        if id(node) in trial:
            continue
        if isinstance(node, ast.Raise) or (
            isinstance(node, (ast.Return, ast.Break)) and _conditional(module, node, loop)
        ):
            return True
    return any(_is_bound(module, around) for around, _ in module.above(loop)) or _outlives(module, loop)


def _conditional(module: Module, node: ast.AST, loop: Loop) -> bool:
    for around, _ in module.above(node):
        if isinstance(around, (ast.If, ast.ExceptHandler)):
            return True
        if around is loop:
            return False
    return False


def _is_bound(module: Module, node: ast.AST) -> bool:
    items = node.items if isinstance(node, (ast.With, ast.AsyncWith)) else []
    return any(
        isinstance(item.context_expr, ast.Call)
        and (module.resolve(item.context_expr.func) or "").rpartition(".")[2] in _BOUNDS
        for item in items
    )


def _outlives(module: Module, loop: Loop) -> bool:
    """Tell whether the loop is inside a function that a decorator or a name calls bounded in time."""
    function = module.function_of(loop)
    decorators = getattr(function, "decorator_list", [])
    return any("timeout" in ast.unparse(one) or "deadline" in ast.unparse(one) for one in decorators)


def _of_the_database(module: Module, handlers: Iterable[ast.ExceptHandler]) -> bool:
    names = [module.resolve(one) or "" for handler in handlers for one in members(handler.type)]
    return any(name.partition(".")[0] in {"sqlalchemy", *DRIVERS} for name in names)


# Libraries.


def library_of(module: Module, call: ast.AST) -> str:
    """Return which library's retry a decorator or a call is, "" if none."""
    function = call.func if isinstance(call, ast.Call) else call
    name = module.resolve(function) or ""
    root, last = name.partition(".")[0], name.rpartition(".")[2]
    known = {
        "tenacity": {"retry", "Retrying", "AsyncRetrying"},
        "backoff": {"on_exception"},
        "stamina": {"retry", "retry_context"},
    }
    return root if last in known.get(root, ()) else ""


def _of_decorators(module: Module, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Retry]:
    for decorator in function.decorator_list:
        library = library_of(module, decorator)
        if not library or not touches_database(module, function.body):
            continue
        call = decorator if isinstance(decorator, ast.Call) else ast.Call(decorator, [], [])
        errors, classified = _library_errors(module, call, library)
        yield Retry(decorator, function.body, errors, classified, call=call, library=library)


def _of_blocks(module: Module) -> Iterator[Retry]:
    """Yield ``for attempt in Retrying(...): with attempt: ...``, asynchronous as well."""
    for loop in (*module.nodes[ast.For], *module.nodes[ast.AsyncFor]):
        call = loop.iter
        if isinstance(call, ast.Name):
            bindings = module.lookup(call.id, call)
            call = bindings[0].node if len(bindings) == 1 and bindings[0].how == "value" else call
        library = library_of(module, call) if isinstance(call, ast.Call) else ""
        if library and touches_database(module, loop.body):
            errors, classified = _library_errors(module, call, library)
            yield Retry(call, loop.body, errors, classified, loop=loop, call=call, library=library)


def _library_errors(module: Module, call: ast.Call, library: str) -> tuple[frozenset[str], bool]:
    if library == "tenacity":
        condition = keyword(call, "retry")
        if condition is None:
            return frozenset({"Exception"}), any(one.arg is None for one in call.keywords)
        parts = [one for one in ast.walk(condition) if isinstance(one, ast.Call)]
        typed = [one for one in parts if _last(module, one.func) == "retry_if_exception_type"]
        names = frozenset(name for one in typed for argument in one.args for name in classes(module, argument))
        return names, len(typed) != len(parts) or not typed
    place = 1 if library == "backoff" else 0
    chosen = keyword(call, "on") or keyword(call, "exception") or next(iter(call.args[place:]), None)
    names = frozenset(classes(module, chosen)) if chosen is not None else frozenset[str]()
    return names, not names or keyword(call, "giveup") is not None


def _library_stops(module: Module, retry: Retry) -> bool:
    call = retry.call
    if call is None or any(one.arg is None for one in call.keywords):
        return True
    if retry.library == "tenacity":
        stop = keyword(call, "stop") or (call.args[1] if len(call.args) > 1 else None)
        return stop is not None and _last(module, stop) != "stop_never"
    if retry.library == "backoff":
        return any(keyword(call, name) is not None for name in ("max_tries", "max_time", "giveup"))
    return not (says(keyword(call, "attempts"), None) and says(keyword(call, "timeout"), None))


def _last(module: Module, node: ast.AST) -> str:
    return (module.resolve(node) or "").rpartition(".")[2]
