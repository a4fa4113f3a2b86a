"""A source file as the rules see it: its tree walked once, its names resolved to what was imported."""

from __future__ import annotations

import ast
import builtins
from collections import defaultdict
from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lab.audit.nodes import BINDS, COMPREHENSIONS, DEEPEST, FIELDS, SCOPES, Binding, Bindings, Function, inside_scope
from lab.audit.places import Home, home

if TYPE_CHECKING:
    from lab.audit.project import Origin, Project

_BUILTINS = frozenset(dir(builtins))
_LIBRARIES = ("sqlalchemy.", "sqlmodel.")


class Module:
    """A parsed file: `nodes` by class, `parents`, calls by name; resolves names and finds what surrounds a node.

    With a *path* its relative imports have a meaning, with a *project* names are followed into other files as well.
    """

    def __init__(self, tree: ast.Module, path: str = "", project: Project | None = None) -> None:
        self.tree = tree
        self.home: Home | None = None
        self._project = project
        self.nodes: dict[type, list[Any]] = defaultdict(list)
        self.parents: dict[ast.AST, ast.AST] = {}
        self._scopes: dict[ast.AST, ast.AST] = {}
        self._bindings: dict[ast.AST, Bindings] = defaultdict(lambda: defaultdict(list))
        self._attributes: dict[ast.AST, Bindings] = defaultdict(lambda: defaultdict(list))
        self._outer: dict[ast.AST, set[str]] = defaultdict(set)
        self.roots: set[str] = set()
        """The packages that are imported, by their first name."""
        self._stars: list[str] = []
        self.kinds: dict[int, Any] = {}  # what lab.audit.kinds has found out, by the bindings of a name
        self._walk()
        if path:
            self.home = home(path, max((node.level for node in self.nodes[ast.ImportFrom]), default=0))
        self._bind()
        self.calls: dict[str, list[ast.Call]] = defaultdict(list)
        for call in self.nodes[ast.Call]:
            self.calls[self._called(call)].append(call)

    @cached_property
    def calls_of(self) -> dict[Function | None, list[ast.Call]]:
        """The calls that each function makes itself."""
        found: dict[Function | None, list[ast.Call]] = defaultdict(list)
        for call in self.nodes[ast.Call]:
            found[self.function_of(call)].append(call)
        return found

    def _walk(self) -> None:
        parents, nodes = self.parents, self.nodes
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            nodes[type(node)].append(node)
            for name in FIELDS[type(node)]:
                value = getattr(node, name, None)
                if value.__class__ is list:
                    for item in value:
                        if item is not None:
                            parents[item] = node
                            stack.append(item)
                elif value is not None:
                    parents[value] = node
                    stack.append(value)
        for kind in (ast.Import, ast.ImportFrom, ast.Call):  # where the first one counts
            nodes[kind].sort(key=lambda node: (node.lineno, node.col_offset))

    # What a scope binds.

    def _bind(self) -> None:
        for node in (*self.nodes[ast.Global], *self.nodes[ast.Nonlocal]):
            self._outer[self.scope_of(node)].update(node.names)
        for node in self.nodes[ast.Import]:
            for alias in node.names:
                self.roots.add(alias.name.partition(".")[0])
                qualified = alias.name if alias.asname else alias.name.partition(".")[0]
                self._put(node, alias.asname or qualified, Binding("import", node, qualified))
        for node in self.nodes[ast.ImportFrom]:
            self._bind_from(node)
        for kind in (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef):
            for node in self.nodes[kind]:
                self._bind_definition(node)
        self._bind_assignments()

    def _bind_from(self, node: ast.ImportFrom) -> None:
        source = node.module or ""
        if node.level:
            source = self.home.absolute(node.level, source) if self.home is not None else ""
        self.roots.add(source.partition(".")[0])
        for alias in node.names:
            if alias.name == "*":
                self._stars += [source] if source else []
            else:
                binding = Binding("import", node, f"{source}.{alias.name}") if source else Binding("other")
                self._put(node, alias.asname or alias.name, binding)

    def _bind_definition(self, node: Any) -> None:
        if not isinstance(node, ast.Lambda):
            self._put(node, node.name, Binding("definition", node))
        if isinstance(node, ast.ClassDef):
            return
        arguments = node.args
        plain = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
        for argument in plain:
            self._bindings[node][argument.arg].append(Binding("type", argument.annotation))
        for argument in (arguments.vararg, arguments.kwarg):
            if argument is not None:
                self._bindings[node][argument.arg].append(Binding("other"))

    def _bind_assignments(self) -> None:
        for kind, (target, how, value) in BINDS.items():
            for node in self.nodes[kind]:
                bound = getattr(node, target)
                for one in bound if isinstance(bound, list) else [bound]:
                    self._target(node, one, Binding(how, getattr(node, value) if value else None))
        for node in self.nodes[ast.ExceptHandler]:
            if node.name:
                self._put(node, node.name, Binding("other"))

    def _target(self, node: ast.AST, target: ast.expr | None, binding: Binding) -> None:
        match target:
            case ast.Name():
                self._put(node, target.id, binding)
            case ast.Tuple() | ast.List():
                for one in target.elts:
                    self._target(node, one, Binding("other"))
            case ast.Starred():
                self._target(node, target.value, Binding("other"))
            case ast.Attribute(value=ast.Name(id="self" | "cls")):
                self._attributes[self.class_of(node) or self.tree][target.attr].append(binding)

    def _put(self, node: ast.AST, name: str, binding: Binding) -> None:
        scope = self.scope_of(node)
        if isinstance(scope, ast.ClassDef):
            self._attributes[scope][name].append(binding)
        if name in self._outer.get(scope, ()):
            scope = self.tree
        self._bindings[scope][name].append(binding)

    def _called(self, call: ast.Call) -> str:
        function = call.func
        while isinstance(function, ast.Subscript):
            function = function.value
        if isinstance(function, ast.Attribute):
            return function.attr
        if isinstance(function, ast.Name):
            found = self.lookup(function.id, function)
            return found[0].name.rpartition(".")[2] if found and found[0].how == "import" else function.id
        return ""

    # What surrounds a node.

    def above(self, node: ast.AST) -> Iterator[tuple[ast.AST, ast.AST]]:
        """Yield every node around *node*, innermost first, each with the child through which it was reached."""
        while node in self.parents:
            parent = self.parents[node]
            yield parent, node
            node = parent

    def scope_of(self, node: ast.AST) -> ast.AST:
        """Return the function, lambda, class, comprehension or module in which *node* is evaluated."""
        passed = []
        while node not in self._scopes:
            passed.append(node)
            parent = self.parents.get(node, self.tree)
            if parent is self.tree or (isinstance(parent, SCOPES) and inside_scope(parent, node)):
                self._scopes[node] = parent
            else:
                node = parent
        found = self._scopes[node]
        self._scopes.update(dict.fromkeys(passed, found))
        return found

    def function_of(self, node: ast.AST) -> Function | None:
        """Return the innermost function whose body holds *node*, None for the module's or a class's own code."""
        scope = self.scope_of(node)
        while isinstance(scope, COMPREHENSIONS):
            scope = self.scope_of(scope)
        return scope if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)) else None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """Return the innermost class around *node*."""
        return next((parent for parent, _ in self.above(node) if isinstance(parent, ast.ClassDef)), None)

    def statement_of(self, node: ast.AST) -> ast.AST:
        """Return the innermost statement that *node* is, or is part of."""
        if isinstance(node, (ast.stmt, ast.ExceptHandler)):
            return node
        return next((parent for parent, _ in self.above(node) if isinstance(parent, ast.stmt)), node)

    def awaited(self, node: ast.AST) -> bool:
        """Tell whether *node* is awaited at once."""
        return isinstance(self.parents.get(node), ast.Await)

    def imports(self, *roots: str) -> bool:
        """Tell whether one of these packages is imported."""
        return not self.roots.isdisjoint(roots)

    # What a name means.

    def lookup(self, name: str, place: ast.AST) -> list[Binding]:
        """Return the bindings of *name* as seen from *place*: those of the nearest scope that has any."""
        scope = self.scope_of(place)
        first = True
        while True:
            found = self._bindings[scope].get(name) if scope in self._bindings else None
            if found and (first or not isinstance(scope, ast.ClassDef)):
                return found
            if scope is self.tree:
                return self._starred(name)
            scope, first = self.scope_of(scope), False

    def exported(self, name: str) -> list[Binding]:
        """Return the bindings of *name* at the top of the file, those that come by ``import *`` included."""
        return self._bindings[self.tree].get(name) or self._starred(name)

    def _starred(self, name: str) -> list[Binding]:
        if not self._stars or self._project is None or self.home is None or name in _BUILTINS:
            return []
        stars, self._stars = self._stars, []  # files that import each other's stars come to an end
        found = self._project.starred(self.home, stars, name)
        self._stars = stars
        if found is None:
            return []
        self._bindings[self.tree][name].append(found)
        return self._bindings[self.tree][name]

    def origin(self, name: str) -> Origin | None:
        """Return where a qualified name leads among the files of the project, None without a project."""
        return self._project.origin(self.home, name) if self._project is not None and self.home is not None else None

    def _canonical(self, name: str) -> str:
        origin = self.origin(name) if not name.startswith(_LIBRARIES) else None  # whose last part is all that counts
        return origin.name if origin is not None else name

    def attributes(self, made: ast.ClassDef) -> Bindings:
        """Return the bindings of the attributes of a class and its objects: ``NAME``, ``self.NAME``, methods."""
        return self._attributes.get(made, {})

    def resolve(self, node: ast.AST | None, depth: int = 0) -> str | None:
        """Return the qualified name that an expression stands for, such as "sqlalchemy.orm.Session", else None."""
        if depth > DEEPEST:
            return None
        match node:
            case ast.Attribute():
                base = self.resolve(node.value, depth + 1)
                return self._canonical(f"{base}.{node.attr}") if base else None
            case ast.Subscript():
                return self.resolve(node.value, depth + 1)
            case ast.Name():
                return self._resolve_name(node, depth)
        return None

    def _resolve_name(self, node: ast.Name, depth: int) -> str | None:
        found = self.lookup(node.id, node)
        if not found:
            return f"builtins.{node.id}" if node.id in _BUILTINS else None
        if all(binding.how == "import" for binding in found):
            return self._canonical(found[0].name)
        if len(found) == 1 and found[0].how == "value":
            return self.resolve(found[0].node, depth + 1)
        return None

    def sqlalchemy(self, node: ast.AST | None) -> str | None:
        """Return the last part of a name that comes from SQLAlchemy (or SQLModel, which hands it on), else None."""
        name = self.resolve(node)
        if name is not None and name.startswith(_LIBRARIES):
            return name.rpartition(".")[2]
        return None
