"""The trees drawn at the top of the errors modules are complete: each error, below its parent, with a word of help."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re

import pytest

import faults
import lab
from faults.errors import FaultError
from lab.errors import LabError

TREES = ("faults.errors", "faults.pgwire.errors", "lab.errors", "lab.db.errors", "lab.retry.errors")

ELSEWHERE: dict[str, str] = {}
"""Errors that are defined outside the errors modules, and why."""

BRANCH = re.compile(r"^(?P<indent>[│ ]*)(?:├── |└── )(?P<name>\w+)(?: +(?P<about>\S.*))?$")


def tree_of(module: str) -> dict[str, str]:
    """Return error -> parent as drawn in the docstring of a module; the parent of the root is empty."""
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in (importlib.import_module(module).__doc__ or "").splitlines():
        if re.fullmatch(r"[A-Z]\w+", line):
            drawn[line], path = "", [line]
        elif branch := BRANCH.match(line):
            depth = len(branch["indent"]) // 4 + 1
            drawn[branch["name"]] = path[depth - 1]
            path[depth:] = [branch["name"]]
    return drawn


def errors() -> dict[str, type[Exception]]:
    """Return all errors of the project by their full names."""
    for package in (faults, lab):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    found: list[type[Exception]] = [FaultError, LabError]
    for error in found:
        found += [child for child in error.__subclasses__() if child.__module__.startswith(("faults.", "lab."))]
    return {f"{error.__module__}.{error.__name__}": error for error in found}


@pytest.mark.parametrize("module", TREES)
def test_every_error_of_the_module_is_drawn(module: str) -> None:
    defined = {name.rpartition(".")[2] for name in errors() if name.rpartition(".")[0] == module}
    assert defined - set(tree_of(module)) == set()


@pytest.mark.parametrize("module", TREES)
def test_every_error_that_is_drawn_stands_below_its_parent(module: str) -> None:
    for name, parent in tree_of(module).items():
        error = getattr(importlib.import_module(module), name)
        assert issubclass(error, Exception)
        assert not parent or parent in {base.__name__ for base in error.__bases__}


@pytest.mark.parametrize("module", TREES)
def test_every_branch_says_in_a_few_words_what_it_is(module: str) -> None:
    lines = (importlib.import_module(module).__doc__ or "").splitlines()
    branches = [branch for line in lines if (branch := BRANCH.match(line))]
    assert branches
    assert [branch["name"] for branch in branches if not branch["about"]] == []


def test_errors_are_defined_in_the_errors_modules() -> None:
    elsewhere = {name for name in errors() if name.rpartition(".")[0] not in TREES}
    assert elsewhere == set(ELSEWHERE)


@pytest.mark.parametrize("name", errors())
def test_every_error_has_a_docstring_of_its_own(name: str) -> None:
    assert "__doc__" in vars(errors()[name])
    assert inspect.getdoc(errors()[name])
