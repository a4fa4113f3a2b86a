"""Functions of the user, named as MODULE:NAME or path/to/file.py:NAME; whatever is wrong with one is one line."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lab.errors import LabError, UsageError, unknown_name


def load_object(spec: str, what: str) -> Any:
    """Return what *spec* names; modules are looked for in the current folder, too. *what* is its role in messages.

    Raises UsageError if there is no such module, file or name (with the nearest ones), or if importing it raises.
    """
    place, colon, name = spec.rpartition(":")
    if not (colon and place and name):
        raise UsageError(f"{what} '{spec}': write MODULE:NAME or path/to/file.py:NAME")
    module = _file(Path(place), what) if place.endswith(".py") else _module(place, what)
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [known for known in vars(found) if not known.startswith("_")] if hasattr(found, "__dict__") else []
            raise UsageError(f"{what} '{spec}': {unknown_name('name', part, public)}")
        found = getattr(found, part)
    return found


def load_coroutine_function(spec: str, what: str, *parameters: str) -> Callable[..., Any]:
    """Return the ``async def`` that *spec* names and that takes *parameters* by position; else raise UsageError."""
    found = load_object(spec, what)
    shape = f"async def {spec.rpartition(':')[2]}({', '.join(parameters)})"
    if not callable(found):
        raise UsageError(f"{what} '{spec}' is no function but {type(found).__name__}: it has to be {shape}")
    if not _asynchronous(found):
        raise UsageError(f"{what} '{spec}' is not asynchronous: it has to be {shape}")
    try:
        inspect.signature(found).bind(*parameters)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{what} '{spec}' has the wrong signature ({error}): it has to be {shape}") from error
    return found  # type: ignore[no-any-return]


def brief(error: BaseException) -> str:
    """Return an error in one line of bounded length: its class and what it says."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:120]}{'...' if len(text) > 120 else ''}".removesuffix(": ")


def _asynchronous(found: Any) -> bool:
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004


def _file(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        near = [str(one) for one in path.parent.glob("*.py")] if path.parent.is_dir() else []
        raise UsageError(f"{what}: {unknown_name('file', str(path), near)}" if near else f"{what}: no file '{path}'")
    name = f"_lab_loaded_{path.stem}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise UsageError(f"{what}: '{path}' is no Python file")
    if getattr(sys.modules.get(name), "__file__", None) == str(path):
        return sys.modules[name]
    module = sys.modules[name] = importlib.util.module_from_spec(found)  # dataclasses look their module up
    folder = str(path.parent.resolve())
    _search(folder)
    try:
        found.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _not_importable(error, str(path), what) from error
    return module


def _module(name: str, what: str) -> ModuleType:
    _search(os.getcwd())  # noqa: PTH109 - sys.path holds strings
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise UsageError(f"{what}: {unknown_name('module', name, _near_modules())}") from error
        raise _not_importable(error, name, what) from error
    except BaseException as error:
        raise _not_importable(error, name, what) from error


def _not_importable(error: BaseException, name: str, what: str) -> BaseException:
    if isinstance(error, (KeyboardInterrupt, LabError)):
        return error
    return UsageError(f"{what}: importing '{name}' raises {brief(error)}")


def _near_modules() -> list[str]:
    return [module.name for module in pkgutil.iter_modules([os.getcwd()])] or ["MODULE in the current folder"]  # noqa: PTH109


def _search(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
