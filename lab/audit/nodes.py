"""Words about trees: which nodes make scopes and bind names, and small questions about calls and constants."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass
from typing import Literal, TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
How: TypeAlias = Literal["import", "value", "type", "context", "definition", "other"]

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
LOOPS = (ast.For, ast.AsyncFor, ast.While)
SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef, ast.Module, *COMPREHENSIONS)
DEEPEST = 12
"""Assignments that are followed from one name to the next."""

_LEAVES = {
    "ctx",
    "op",
    "ops",
    "id",
    "attr",
    "arg",
    "kind",
    "names",
    "name",
    "asname",
    "type_comment",
    "level",
    "module",
}
_LEAVES |= {"level", "module", "is_async", "simple", "conversion", "rest", "kwd_attrs", "str", "tag"}
FIELDS: dict[type[ast.AST], tuple[str, ...]] = {
    kind: tuple(field for field in kind._fields if field not in _LEAVES)
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST)
}
FIELDS |= {ast.Constant: (), ast.Name: (), ast.MatchSingleton: ()} | dict.fromkeys(
    (ast.FunctionDef, ast.AsyncFunctionDef), ("args", "body", "decorator_list", "returns")
)
BINDS: dict[type[ast.AST], tuple[str, How, str]] = {
    ast.Assign: ("targets", "value", "value"),
    ast.NamedExpr: ("target", "value", "value"),
    ast.AnnAssign: ("target", "type", "annotation"),
    ast.withitem: ("optional_vars", "context", "context_expr"),
    ast.For: ("target", "other", ""),
    ast.AsyncFor: ("target", "other", ""),
    ast.comprehension: ("target", "other", ""),
}
"""Class of a node -> where its targets are, what they are bound to, and where that is."""


@dataclass(frozen=True, slots=True)
class Binding:
    """One way in which a scope gives a name its meaning: an import (*name*, qualified), a value, an annotation, ..."""

    how: How
    node: ast.AST | None = None
    name: str = ""


Bindings: TypeAlias = dict[str, list[Binding]]


def inside_scope(scope: ast.AST, child: ast.AST) -> bool:
    """Tell whether a child of *scope* is evaluated inside it."""
    # Decorators, defaults and annotations are evaluated outside what they belong to; a lambda's body is an expression.
    if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return isinstance(child, ast.stmt)
    return not isinstance(child, ast.arguments)


def keyword(call: ast.Call, name: str) -> ast.expr | None:
    """Return the value of a keyword argument."""
    return next((one.value for one in call.keywords if one.arg == name), None)


def unpacks(call: ast.Call) -> bool:
    """Tell whether a call takes keyword arguments that cannot be seen (``**options``)."""
    return any(one.arg is None for one in call.keywords)


def says(node: ast.AST | None, value: object) -> bool:
    """Tell whether *node* is the constant *value*."""
    return isinstance(node, ast.Constant) and node.value is value


def text(node: ast.AST | None) -> str | None:
    """Return the string that *node* is, None if it is none."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def parse(source: bytes, path: str) -> ast.Module:
    """Parse a file, and keep quiet about its invalid escapes. Raises what ``ast.parse`` raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source, path)
