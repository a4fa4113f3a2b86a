"""What files hand on to each other: the names at the top of each, followed through imports to where they are made."""

from __future__ import annotations

import ast
import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.audit.files import read
from lab.audit.module import Module
from lab.audit.nodes import Binding, parse
from lab.audit.places import Home, Places

HOPS = 32
"""Imports of imports that are followed; what goes further, or round in a circle, is unknown."""

WAITING = 100
"""Whole files that are kept until they are judged themselves, because others have asked for them before."""

_INNER = frozenset({"body", "orelse", "finalbody", "handlers"})
"""Fields of statements that hold statements."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a name leads: *attribute* of the *module* of another file, or a *name* of what is none of the files."""

    name: str
    module: Module | None = None
    attribute: str = ""

    @property
    def bindings(self) -> list[Binding]:
        """Return what gives the attribute its meaning, [] if that is not known."""
        return self.module.exported(self.attribute) if self.module is not None else []


class Project:
    """Follows names from file to file. Each file is parsed when another one first asks for it, in whatever order.

    *files* are those that are audited. Of each no more is kept than its top: without the bodies of its functions.
    """

    def __init__(self, files: Iterable[str | os.PathLike[str]] = ()) -> None:
        self._places = Places(files)
        self._tops: dict[str, ast.Module | Module | None] = {}
        self._waiting: dict[str, ast.Module] = {}
        self._origins: dict[tuple[str, str, str], Origin] = {}

    def origin(self, at: Home, name: str) -> Origin:
        """Return where the qualified *name* leads, as a file at home *at* means it."""
        key = (at.root, at.top, name)
        if key not in self._origins:
            self._origins[key] = self._follow(at, name)
        return self._origins[key]

    def starred(self, at: Home, modules: Sequence[str], name: str) -> Binding | None:
        """Return the import of *name* that ``from <one of modules> import *`` stands for."""
        for module in reversed(modules):
            qualified = f"{module}.{name}"
            if not name.startswith("_") and self.origin(at, qualified).module is not None:
                return Binding("import", None, qualified)
        return None

    def _follow(self, at: Home, name: str) -> Origin:
        for _ in range(HOPS):
            path, attributes = self._split(at, name)
            top = self._top(path) if path else None
            if top is None or not attributes:
                break
            attribute, _, more = attributes.partition(".")
            bindings = top.exported(attribute)
            if not bindings or not all(one.how == "import" for one in bindings):
                known = bool(bindings) and not more
                return Origin(name, top, attribute) if known else Origin(name)
            name = f"{bindings[0].name}.{more}" if more else bindings[0].name
            at = top.home or at
        return Origin(name)

    def _split(self, at: Home, name: str) -> tuple[str | None, str]:
        """Return the file in which a name begins, and what remains of the name there."""
        parts = name.split(".")
        for count in range(len(parts) - 1, 0, -1):
            path = self._places.file(at, ".".join(parts[:count]))
            if path is not None:
                return path, ".".join(parts[count:])
        return None, name

    def parsed(self, source: bytes, path: str) -> ast.Module:
        """Return the tree of a file that is to be judged. Raises what ``ast.parse`` raises."""
        return self._waiting.pop(os.path.abspath(path), None) or parse(source, path)  # noqa: PTH100

    def judged(self, tree: ast.Module, path: str) -> None:
        """Keep the top of a file that has been judged, and forget the rest of its *tree*."""
        key = os.path.abspath(path)  # noqa: PTH100 - as text: this runs for each file
        if key not in self._tops:
            self._tops[key] = tree
            _forget_bodies(tree.body)

    def forget(self) -> None:
        """Let go of everything: files that know each other are a circle, which only the collector would find."""
        self._tops.clear()
        self._origins.clear()

    def _top(self, path: str) -> Module | None:
        top = self._tops[path] if path in self._tops else self._read(path)
        if isinstance(top, ast.Module):
            top = self._tops[path] = Module(top, path, self)
        return top

    def _read(self, path: str) -> ast.Module | None:
        content = read(Path(path))
        try:
            tree = parse(content, path) if isinstance(content, bytes) else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None  # it is told when the file itself is judged
        if tree is None:
            self._tops[path] = None
            return None
        if path in self._places.files and len(self._waiting) < WAITING:
            self._waiting[path] = tree
        return ast.Module(_without_bodies(tree.body), [])


def _without_bodies(statements: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Return statements without what functions do, and without those that bind nothing."""
    return [_bare(one) for one in statements if not isinstance(one, (ast.Expr, ast.Pass, ast.Assert, ast.Delete))]


def _forget_bodies(statements: list[ast.stmt]) -> None:
    for one in statements:
        if not isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for name in _INNER & set(one._fields):
                _forget_bodies(getattr(one, name))
        elif one.name != "__init__":  # which gives objects their attributes
            one.body.clear()


def _bare(statement: ast.stmt) -> ast.stmt:
    bare = copy.copy(statement)
    if isinstance(bare, (ast.FunctionDef, ast.AsyncFunctionDef)):
        bare.body = bare.body if bare.name == "__init__" else []
    else:
        for name in _INNER & set(bare._fields):
            setattr(bare, name, _without_bodies(getattr(bare, name)))
    return bare
