"""What the lab knows of an expression: a session, a connection, an engine, ...; None when it cannot be certain."""

from __future__ import annotations

import ast
from enum import Enum

from lab.audit.module import DEEPEST, Binding, Module, keyword


class Kind(Enum):
    """What an expression is."""

    SESSION = "Session"
    ASYNC_SESSION = "AsyncSession"
    MAKER = "sessionmaker"
    ASYNC_MAKER = "async_sessionmaker"
    ENGINE = "Engine"
    ASYNC_ENGINE = "AsyncEngine"
    CONNECTION = "Connection"
    ASYNC_CONNECTION = "AsyncConnection"
    QUERY = "Query"
    STATEMENT = "statement"


SESSIONS = frozenset({Kind.SESSION, Kind.ASYNC_SESSION})
CONNECTIONS = frozenset({Kind.CONNECTION, Kind.ASYNC_CONNECTION})
DATABASE = frozenset(Kind) - {Kind.QUERY, Kind.STATEMENT}

_TYPES = {kind.value: kind for kind in DATABASE} | {"scoped_session": Kind.SESSION, "Query": Kind.QUERY}
_TYPES |= {"async_scoped_session": Kind.ASYNC_SESSION}
_FACTORIES = {
    "Session": Kind.SESSION,
    "AsyncSession": Kind.ASYNC_SESSION,
    "scoped_session": Kind.SESSION,
    "async_scoped_session": Kind.ASYNC_SESSION,
    "sessionmaker": Kind.MAKER,
    "async_sessionmaker": Kind.ASYNC_MAKER,
    "create_engine": Kind.ENGINE,
    "create_async_engine": Kind.ASYNC_ENGINE,
    "select": Kind.STATEMENT,
    "insert": Kind.STATEMENT,
    "update": Kind.STATEMENT,
    "delete": Kind.STATEMENT,
}
_CALLED = {
    Kind.MAKER: Kind.SESSION,
    Kind.ASYNC_MAKER: Kind.ASYNC_SESSION,
    Kind.SESSION: Kind.SESSION,  # a scoped_session is called as well
    Kind.ASYNC_SESSION: Kind.ASYNC_SESSION,
}
_METHODS = {
    (Kind.MAKER, "begin"): Kind.SESSION,
    (Kind.ASYNC_MAKER, "begin"): Kind.ASYNC_SESSION,
    (Kind.ENGINE, "connect"): Kind.CONNECTION,
    (Kind.ENGINE, "begin"): Kind.CONNECTION,
    (Kind.ASYNC_ENGINE, "connect"): Kind.ASYNC_CONNECTION,
    (Kind.ASYNC_ENGINE, "begin"): Kind.ASYNC_CONNECTION,
    (Kind.CONNECTION, "execution_options"): Kind.CONNECTION,
    (Kind.ENGINE, "execution_options"): Kind.ENGINE,
    (Kind.ASYNC_ENGINE, "execution_options"): Kind.ASYNC_ENGINE,
    (Kind.SESSION, "query"): Kind.QUERY,
    (Kind.SESSION, "connection"): Kind.CONNECTION,
    (Kind.ASYNC_SESSION, "connection"): Kind.ASYNC_CONNECTION,
}
_CHAINED = {
    Kind.QUERY: frozenset({"all", "first", "one", "one_or_none", "scalar", "count", "get", "update", "delete"}),
    Kind.STATEMENT: frozenset({"subquery", "cte", "alias", "compile", "scalar_subquery", "exists"}),
}
"""Methods that end a chain; every other one returns the same kind."""


def kind_of(module: Module, node: ast.AST | None, depth: int = 0) -> Kind | None:
    """Return what *node* certainly is, following imports, annotations, constructors and ``with`` within the module."""
    if depth > DEEPEST or node is None:
        return None
    match node:
        case ast.Await():
            return kind_of(module, node.value, depth + 1)
        case ast.Call():
            return _of_call(module, node, depth + 1)
        case ast.Name():
            return _of_bindings(module, module.lookup(node.id, node), depth + 1)
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            return _of_bindings(module, module.attribute(node, node.attr), depth + 1)
    return None


def _of_call(module: Module, call: ast.Call, depth: int) -> Kind | None:
    name = module.sqlalchemy(call.func)
    if name in _FACTORIES:
        chosen = module.sqlalchemy(keyword(call, "class_"))
        return Kind.ASYNC_MAKER if name == "sessionmaker" and chosen == "AsyncSession" else _FACTORIES[name]
    if isinstance(call.func, ast.Attribute):
        return _of_method(module, call.func, depth)
    found = kind_of(module, call.func, depth)
    if found is not None:
        return _CALLED.get(found)
    if isinstance(call.func, ast.Name):
        return _returned(module, module.lookup(call.func.id, call), depth)
    return None


def _of_method(module: Module, function: ast.Attribute, depth: int) -> Kind | None:
    receiver = kind_of(module, function.value, depth)
    if receiver is None:
        held = kind_of(module, function, depth)  # self.sessions()
        return _CALLED.get(held) if held is not None else None
    if receiver in _CHAINED:
        return None if function.attr in _CHAINED[receiver] else receiver
    return _METHODS.get((receiver, function.attr))


def _returned(module: Module, bindings: list[Binding], depth: int) -> Kind | None:
    match [binding.node for binding in bindings]:
        case [ast.FunctionDef() | ast.AsyncFunctionDef() as function] if function.returns is not None:
            return annotated(module, function.returns, depth)
    return None


def _of_bindings(module: Module, bindings: list[Binding], depth: int) -> Kind | None:
    """Return what every binding of a name agrees on; ``query = query.where(...)`` agrees if it keeps the kind."""
    key = id(bindings)  # a list of the module, which lives as long as its memory of kinds
    if not bindings or key in module.kinds:
        known: Kind | None = module.kinds.get(key)
        return known
    module.kinds[key] = None  # so that names that stand for each other come to an end
    told = [one for one in bindings if not _is_none(one)]
    further = [one for one in told if _starts_with(module, one, bindings)]
    kinds = {_of_binding(module, one, depth) for one in told if one not in further}
    found = module.kinds[key] = kinds.pop() if len(kinds) == 1 else None
    if any(_of_binding(module, one, depth) is not found for one in further):
        found = module.kinds[key] = None
    return found


def _starts_with(module: Module, binding: Binding, bindings: list[Binding]) -> bool:
    """Tell whether a value is a chain of calls that begins with the very name to which it is given."""
    node = binding.node
    while isinstance(node, (ast.Call, ast.Attribute, ast.Await)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return isinstance(node, ast.Name) and node is not binding.node and module.lookup(node.id, node) is bindings


def _is_none(binding: Binding) -> bool:
    return binding.how == "value" and isinstance(binding.node, ast.Constant) and binding.node.value is None


def _of_binding(module: Module, binding: Binding, depth: int) -> Kind | None:
    if binding.how == "type":
        return annotated(module, binding.node, depth)
    if binding.how in {"value", "context"}:
        return kind_of(module, binding.node, depth)
    return None


def annotated(module: Module, node: ast.AST | None, depth: int = 0) -> Kind | None:
    """Return what an annotation says: a class, ``X | None``, ``Optional[X]``, ``Annotated[X, ...]``, or a string."""
    if depth > DEEPEST or node is None:
        return None
    match node:
        case ast.Constant(value=str() as written):
            return _written(module, node, written, depth)
        case ast.BinOp(left=left, op=ast.BitOr(), right=ast.Constant(value=None)):
            return annotated(module, left, depth + 1)
        case ast.Subscript(value=value, slice=inner):
            if (module.resolve(value) or "") in {"typing.Optional", "typing.Annotated", "typing_extensions.Annotated"}:
                first = inner.elts[0] if isinstance(inner, ast.Tuple) and inner.elts else inner
                return annotated(module, first, depth + 1)
    named = _TYPES.get(module.sqlalchemy(node) or "")
    if named is None and isinstance(node, ast.Name):
        match module.lookup(node.id, node):
            case [Binding(how="value", node=ast.Subscript() as alias)]:
                return annotated(module, alias, depth + 1)
    return named


def _written(module: Module, place: ast.AST, written: str, depth: int) -> Kind | None:
    try:
        parsed = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    for inner in ast.walk(parsed):
        module.parents.setdefault(inner, place)  # so that its names are looked up where it is written
    return annotated(module, parsed, depth + 1)
