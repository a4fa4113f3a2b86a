"""What the lab knows of an expression: a session, a connection, an engine, ...; None when it cannot be certain."""

from __future__ import annotations

import ast
from enum import Enum

from lab.audit.meaning import definition, meaning
from lab.audit.module import Module
from lab.audit.nodes import DEEPEST, Binding, keyword


class Kind(Enum):
    """What an expression is."""

    SESSION = "Session"
    ASYNC_SESSION = "AsyncSession"
    ASYNC_SCOPED = "async_scoped_session"
    MAKER = "sessionmaker"
    ASYNC_MAKER = "async_sessionmaker"
    ENGINE = "Engine"
    ASYNC_ENGINE = "AsyncEngine"
    CONNECTION = "Connection"
    ASYNC_CONNECTION = "AsyncConnection"
    QUERY = "Query"
    STATEMENT = "statement"


SESSIONS = frozenset({Kind.SESSION, Kind.ASYNC_SESSION, Kind.ASYNC_SCOPED})
CONNECTIONS = frozenset({Kind.CONNECTION, Kind.ASYNC_CONNECTION})
DATABASE = frozenset(Kind) - {Kind.QUERY, Kind.STATEMENT}

_TYPES = {kind.value: kind for kind in DATABASE} | {"scoped_session": Kind.SESSION, "Query": Kind.QUERY}
_FACTORIES = {
    "Session": Kind.SESSION,
    "AsyncSession": Kind.ASYNC_SESSION,
    "scoped_session": Kind.SESSION,
    "async_scoped_session": Kind.ASYNC_SCOPED,
    "sessionmaker": Kind.MAKER,
    "async_sessionmaker": Kind.ASYNC_MAKER,
    "create_engine": Kind.ENGINE,
    "create_async_engine": Kind.ASYNC_ENGINE,
    "select": Kind.STATEMENT,
    "insert": Kind.STATEMENT,
    "update": Kind.STATEMENT,
    "delete": Kind.STATEMENT,
}
_MANAGERS = frozenset({"contextlib.contextmanager", "contextlib.asynccontextmanager"})
_CALLED = {
    Kind.MAKER: Kind.SESSION,
    Kind.ASYNC_MAKER: Kind.ASYNC_SESSION,
    Kind.SESSION: Kind.SESSION,  # a scoped_session is called as well
    Kind.ASYNC_SCOPED: Kind.ASYNC_SESSION,
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
    """Return what *node* certainly is, following imports, annotations, constructors and ``with``, across files."""
    if depth > DEEPEST or node is None:
        return None
    match node:
        case ast.Await():
            return kind_of(module, node.value, depth + 1)
        case ast.Call():
            return _of_call(module, node, depth + 1)
        case ast.Name() | ast.Attribute():
            return _of_bindings(*meaning(module, node, depth + 1), depth + 1)
    return None


def _of_call(module: Module, call: ast.Call, depth: int) -> Kind | None:
    name = module.sqlalchemy(call.func)
    if name in _FACTORIES:
        chosen = module.sqlalchemy(keyword(call, "class_"))
        return Kind.ASYNC_MAKER if name == "sessionmaker" and chosen == "AsyncSession" else _FACTORIES[name]
    if module.resolve(call.func) == "typing.cast" and call.args:
        return annotated(module, call.args[0], depth)
    if isinstance(call.func, ast.Attribute):
        return _of_method(module, call.func, depth)
    found = kind_of(module, call.func, depth)
    if found is not None:
        return _CALLED.get(found)
    return _returned(module, call.func, depth)


def _of_method(module: Module, function: ast.Attribute, depth: int) -> Kind | None:
    receiver = kind_of(module, function.value, depth)
    if receiver is None:
        held = kind_of(module, function, depth)  # self.sessions()
        return _CALLED.get(held) if held is not None else _returned(module, function, depth)
    if receiver in _CHAINED:
        return None if function.attr in _CHAINED[receiver] else receiver
    return _METHODS.get((receiver, function.attr))


def _returned(module: Module, function: ast.expr, depth: int) -> Kind | None:
    """Return what the annotation of a function or method says that it returns, or as a context manager yields."""
    there, defined = definition(module, function, depth)
    if isinstance(defined, ast.ClassDef):
        return _of_class(there, defined, depth)
    if not isinstance(defined, (ast.FunctionDef, ast.AsyncFunctionDef)):
        return None
    if any((there.resolve(one) or "") in _MANAGERS for one in defined.decorator_list):
        return annotated(there, _first(defined.returns), depth)
    return annotated(there, defined.returns, depth)


def _of_class(module: Module, made: ast.ClassDef, depth: int) -> Kind | None:
    """Return what objects of a class are, whose base is one of SQLAlchemy's."""
    kinds = {annotated(module, base, depth + 1) for base in made.bases}
    return next((one for one in kinds if one in SESSIONS), None)


def _first(annotation: ast.AST | None) -> ast.AST | None:
    match annotation:
        case ast.Subscript(slice=ast.Tuple(elts=[first, *_]) | first):
            return first
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
    return named or _defined(module, node, depth + 1)


def _defined(module: Module, node: ast.AST, depth: int) -> Kind | None:
    """Return what the alias of a type, or a class of the user's own, stands for."""
    there, bindings = meaning(module, node, depth)
    match bindings:
        case [Binding(how="value", node=ast.Subscript() as alias)]:
            return annotated(there, alias, depth)
        case [Binding(how="type", node=ast.AST() as said)] if (there.resolve(said) or "").endswith(".TypeAlias"):
            return annotated(there, getattr(there.parents.get(said), "value", None), depth)
        case [Binding(how="definition", node=ast.ClassDef() as made)]:
            return _of_class(there, made, depth)
    return None


def _written(module: Module, place: ast.AST, written: str, depth: int) -> Kind | None:
    try:
        parsed = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError):
        return None
    for inner in ast.walk(parsed):
        module.parents.setdefault(inner, place)  # so that its names are looked up where it is written
    return annotated(module, parsed, depth + 1)
