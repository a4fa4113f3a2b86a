"""What a piece of code does: what it calls and catches, how it leaves, whether it talks to the database."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence

from lab.audit.kinds import DATABASE, kind_of
from lab.audit.module import Module

EVERYTHING = frozenset({"Exception", "BaseException"})
_LEAVES = (ast.Raise, ast.Return, ast.Break)
_HIDES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_TELLS = frozenset(
    {"debug", "info", "warning", "warn", "error", "exception", "critical", "log", "print", "str", "repr", "type"}
)


def leaves(body: Sequence[ast.stmt]) -> bool:
    """Tell whether every way through *body* leaves the loop: by raise, return or break."""
    for one in body:
        if isinstance(one, _LEAVES):
            return True
        if isinstance(one, ast.If) and one.orelse and leaves(one.body) and leaves(one.orelse):
            return True
        if isinstance(one, (ast.With, ast.AsyncWith)) and leaves(one.body):
            return True
        if isinstance(one, ast.Try) and leaves(one.finalbody):
            return True
    return False


def inside(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yield every node of *body*, but not what is inside functions and classes defined there."""
    stack = list(body)
    while stack:
        node = stack.pop()
        yield node
        if not isinstance(node, _HIDES):
            stack.extend(ast.iter_child_nodes(node))


def calls_in(body: Iterable[ast.AST]) -> Iterator[ast.Call]:
    """Yield the calls that *body* makes itself."""
    return (node for node in inside(body) if isinstance(node, ast.Call))


def touches_database(module: Module, body: Iterable[ast.AST]) -> bool:
    """Tell whether *body* certainly uses a session, a connection or an engine, or is handed one as an argument."""
    for node in inside(body):
        if isinstance(node, (ast.Name, ast.Attribute, ast.Call)) and kind_of(module, node) in DATABASE:
            return True
    return False


def members(node: ast.expr | None) -> list[ast.expr]:
    """Return the classes that an ``except`` or a condition lists."""
    return list(node.elts) if isinstance(node, ast.Tuple) else [node] if node is not None else []


def classes(module: Module, node: ast.expr) -> list[str]:
    """Return the last parts of the names of exception classes that an expression lists; "?" for what is unknown."""
    return [(module.resolve(one) or "?").rpartition(".")[2] for one in members(node)]


def caught(module: Module, handler: ast.ExceptHandler) -> list[str]:
    """Return the names of the classes that a handler catches; a bare one catches BaseException."""
    return classes(module, handler.type) if handler.type is not None else ["BaseException"]


def uses_error(handler: ast.ExceptHandler) -> bool:
    """Tell whether a handler looks at its error: in a condition, through a function, or to keep it for later."""
    if handler.name is None:
        return False
    return any(
        isinstance(one, ast.Name) and one.id == handler.name
        for node in inside(handler.body)
        for part in _looked_at(node)
        for one in ast.walk(part)
    )


def _looked_at(node: ast.AST) -> list[ast.AST]:
    match node:
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            return [test]
        case ast.Match(subject=subject):
            return [subject]
        case ast.Assign(value=value):
            return [value]
        case ast.Call():
            return [] if called(node) in _TELLS else [node]
    return []


def called(call: ast.Call) -> str:
    """Return the last part of the name of what is called, "" if it has none."""
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
