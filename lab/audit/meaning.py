"""What gives a name or an attribute its meaning: bindings of this file, of another one, or of a class and its bases."""

from __future__ import annotations

import ast
from typing import TypeAlias

from lab.audit.module import Module
from lab.audit.nodes import DEEPEST, Binding

Meaning: TypeAlias = tuple[Module, list[Binding]]
"""The bindings, and the file that has them: their names mean what they mean there."""


def meaning(module: Module, node: ast.AST | None, depth: int = 0) -> Meaning:
    """Return what *node* certainly stands for, through imports, modules and objects of classes; [] if it is unknown."""
    if depth > DEEPEST:
        return module, []
    match node:
        case ast.Name():
            return _followed(module, module.lookup(node.id, node))
        case ast.Attribute(value=ast.Name(id="self" | "cls")):
            around = module.class_of(node)
            return attribute(module, around, node.attr, depth + 1) if around is not None else (module, [])
        case ast.Attribute():
            qualified = module.resolve(node)
            origin = module.origin(qualified) if qualified else None
            if origin is not None and origin.module is not None:
                return origin.module, origin.bindings
            there, made = _class_of_object(module, node.value, depth + 1)
            return attribute(there, made, node.attr, depth + 1) if made is not None else (module, [])
    return module, []


def definition(module: Module, node: ast.AST | None, depth: int = 0) -> tuple[Module, ast.AST | None]:
    """Return the function or class that *node* certainly names, and the file that has it."""
    there, bindings = meaning(module, node, depth)
    match bindings:
        case [Binding(how="definition", node=defined)]:
            return there, defined
    return there, None


def attribute(module: Module, made: ast.ClassDef, name: str, depth: int = 0) -> Meaning:
    """Return what gives objects of a class their attribute *name*: the class itself, or the first base that does."""
    found = module.attributes(made).get(name, [])
    if found or depth > DEEPEST:
        return module, found
    for base in made.bases:
        there, defined = definition(module, base, depth + 1)
        if isinstance(defined, ast.ClassDef) and defined is not made:
            above = attribute(there, defined, name, depth + 1)
            if above[1]:
                return above
    return module, []


def _followed(module: Module, bindings: list[Binding]) -> Meaning:
    if bindings and all(one.how == "import" for one in bindings):
        origin = module.origin(bindings[0].name)
        if origin is not None and origin.module is not None:
            return origin.module, origin.bindings
    return module, bindings


def _class_of_object(module: Module, node: ast.AST, depth: int) -> tuple[Module, ast.ClassDef | None]:
    """Return the class of what *node* names: the one that was called to make it, or that annotates it."""
    there, bindings = meaning(module, node, depth + 1)
    match bindings:
        case [Binding(how="value", node=ast.Call(func=named))] | [Binding(how="type", node=named)]:
            there, made = definition(there, named, depth + 1)
            return there, made if isinstance(made, ast.ClassDef) else None
    return there, None
