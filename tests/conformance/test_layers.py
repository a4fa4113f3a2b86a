"""Imports point one way, public names say what they are, and no file or function grows beyond what can be read."""

from __future__ import annotations

import ast
import graphlib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for package in ("faults", "lab")
    for path in sorted((ROOT / package).rglob("*.py"))
}

LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "faults",
        "faults.errors",
        "faults.chunk",
        "faults.evidence",
        "faults.reading",
        "faults.node",
        "faults.topology",
        "faults.silence",
    ),
    ("faults.pgwire", "faults.pgwire.*"),
    ("faults.address", "faults.rulebook", "faults.rule_api", "faults.stage"),
    ("faults.toxics", "faults.toxics.*"),
    ("faults.side", "faults.waits", "faults.claims"),
    ("faults.failing", "faults.routine"),
    ("faults.gate",),
    ("faults.endpoint", "faults.link"),
    ("faults.vanishing",),
    ("faults.toxiproxy",),
    ("faults.proxy", "faults.client", "faults.kinds", "faults.plan"),
    ("faults.registry", "faults.describe"),
    ("faults.http", "faults.rule_routes", "faults.server"),
    ("faults.__main__",),
    ("lab", "lab.errors", "lab.application", "lab.cleanup", "lab._test_report"),
    ("lab._collector", "lab._shared_memory", "lab._streams", "lab.versions"),
    ("lab.history", "lab._processes", "lab._containers"),
    ("lab.verdict", "lab.state"),
    ("lab.checks", "lab.checks.*"),
    ("lab.records", "lab.assembler", "lab.journal"),
    ("lab.formats", "lab.formats.*"),
    ("lab.recorder", "lab.observer"),
    ("lab.db", "lab.db.*"),
    ("lab.retry", "lab.retry.*"),
    ("lab.clusters", "lab.clusters.*", "lab.workloads", "lab.workloads.*", "lab.interleave", "lab.interleave.*"),
    ("lab.scenario", "lab.studies", "lab.studies.*"),
    ("lab.scenarios", "lab.scenarios.*", "lab.clients", "lab.gauges"),
    ("lab.arming", "lab.checking", "lab.conducting", "lab.replay"),
    ("lab.injector",),
    ("lab.runner",),
    ("lab.suite",),
    ("lab.shrink",),
    ("lab.standing", "lab.doctor", "lab.report", "lab.report.*", "lab.loading"),
    ("lab.validate", "lab.validate.*", "lab.explore", "lab.explore.*", "lab.atlas", "lab.atlas.*"),
    ("lab.audit", "lab.audit.*", "lab.runbook", "lab.runbook.*"),
    ("lab.testing", "lab.testing.*"),
    ("lab._pytest_reporter",),
    ("lab.pytest_plugin",),
    ("lab.console", "lab.commands", "lab.commands.*"),
    ("lab.cli",),
    ("lab.reference", "lab.entry"),
)
"""Lower layers first. A module imports from its own layer and from those before it, never from a later one."""

LONG_FILES = {
    "faults.kinds": (320, "the kinds of faults are one list"),
    "faults.registry": (310, "what the API can ask is one list"),
    "faults.client": (320, "one small typed method for each route"),
    "faults.proxy": (350, "a listener, its toxics and its connections are one thing"),
    "lab.state": (335, "the rules of owning, finding and removing a run are one argument"),
}
"""Module -> lines allowed, and why it may be longer than the others."""

LINES_OF_A_FILE = 300
LINES_OF_A_FUNCTION = 70
LONG_FUNCTIONS: dict[str, tuple[int, str]] = {}
"""Module and name -> lines allowed, and why."""

PARALLEL = {
    ("lab.clusters", "lab.workloads"): "a workload runs on any cluster",
    ("lab.checks", "lab.journal"): "a check needs no file",
    ("lab.checks", "lab.formats"): "a check needs no file",
    ("lab.retry", "lab.journal"): "a policy can be used without the lab",
    ("lab.retry", "lab.history"): "a policy can be used without the lab",
    ("lab.db", "lab.history"): "engines can be used without the lab",
    ("lab.workloads", "lab.retry"): "a workload knows nothing of policies",
    ("lab.audit", "lab.clusters"): "an audit reads source, and runs nothing",
    ("lab.audit", "lab.db"): "an audit reads source, and runs nothing",
    ("lab.workloads", "faults"): "a workload knows nothing of faults",
    ("lab.checks", "faults"): "a check reads histories only",
}
"""Packages of which the first must not import the second, and why."""


def layer_of(module: str) -> int:
    """Return the number of a module's layer."""
    found = [n for n, names in enumerate(LAYERS) for name in names if fnmatchcase(module, name)]
    assert found, f"{module} is in no layer: give it its place in LAYERS"
    return found[0]


def imports(module: str, *, at_run_time: bool = False) -> Iterator[str]:
    """Yield the modules of the project that a module imports, wherever it does."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    for_types = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if at_run_time and id(node) in for_types:
            continue
        for name in _imported(node):
            if name in MODULES and name != module:
                yield name


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module:
        assert node.level == 0, f"imports are absolute: {ast.unparse(node)}"
        submodules = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name if name in MODULES else node.module for name in submodules)


def functions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function with its dotted name."""
    for node in ast.iter_child_nodes(tree):
        name = f"{prefix}{node.name}" if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else ""
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield name, node
        yield from functions(node, f"{name}." if name else prefix)


def public(tree: ast.AST, prefix: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]]:
    """Yield every public class, function and method, but not what is inside a function."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        yield f"{prefix}.{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from public(node, f"{prefix}.{node.name}")


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("faults")])
def test_faults_never_imports_the_lab(module: str) -> None:
    assert [name for name in imports(module) if name.startswith("lab")] == []


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_from_its_own_layer_and_those_below(module: str) -> None:
    own = layer_of(module)
    assert [name for name in imports(module, at_run_time=True) if layer_of(name) > own] == []


def test_no_two_modules_import_each_other_in_a_circle() -> None:
    # A package's own __init__ is left out: it is run before any of its modules, and imports them all.
    graph = {
        module: {name for name in imports(module, at_run_time=True) if not module.startswith(f"{name}.")}
        for module in MODULES
    }
    list(graphlib.TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("pair", PARALLEL, ids=" from ".join)
def test_what_must_not_know_each_other_does_not(pair: tuple[str, str]) -> None:
    one, other = (tuple(name for name in MODULES if f"{name}.".startswith(f"{package}.")) for package in pair)
    assert [f"{module} <- {name}" for module in one for name in imports(module) if name in other] == [], PARALLEL[pair]


@pytest.mark.parametrize("module", MODULES)
def test_what_is_public_has_a_docstring(module: str) -> None:
    source = MODULES[module].read_text(encoding="utf-8")
    tree = ast.parse(source)
    missing = [name for name, node in public(tree, module) if not ast.get_docstring(node)]
    if source.strip() and not ast.get_docstring(tree):
        missing.insert(0, module)
    assert missing == []


@pytest.mark.parametrize("module", MODULES)
def test_a_file_can_be_read_in_one_go(module: str) -> None:
    allowed, _ = LONG_FILES.get(module, (LINES_OF_A_FILE, ""))
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) <= allowed


@pytest.mark.parametrize("module", MODULES)
def test_a_function_fits_on_a_screen(module: str) -> None:
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    lines = {f"{module}.{name}": (node.end_lineno or 0) - node.lineno + 1 for name, node in functions(tree)}
    allowed = {name: LONG_FUNCTIONS.get(name, (LINES_OF_A_FUNCTION, ""))[0] for name in lines}
    assert {name: count for name, count in lines.items() if count > allowed[name]} == {}


@pytest.mark.parametrize("module", LONG_FILES)
def test_an_exception_is_still_one(module: str) -> None:
    assert len(MODULES[module].read_text(encoding="utf-8").splitlines()) > LINES_OF_A_FILE


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_one_place_among_the_layers(module: str) -> None:
    assert [name for names in LAYERS for name in names if fnmatchcase(module, name)] != []
    assert sum(fnmatchcase(module, name) for names in LAYERS for name in names) == 1


def test_every_place_among_the_layers_is_taken() -> None:
    places = [name for names in LAYERS for name in names]
    assert [name for name in places if not any(fnmatchcase(module, name) for module in MODULES)] == []
