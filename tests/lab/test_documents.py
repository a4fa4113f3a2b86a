"""Every block of the documentation is executed, parsed by what reads it, or named here with the reason why not."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib.util
import inspect
import json
import re
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, TypeAlias, get_args

import click
import pytest

from faults import plan
from faults.client import ControlClient
from lab.cli import COMMANDS, command_called, exit_code
from lab.clusters.postgres import PostgresServer
from lab.commands.run import choose_both
from lab.errors import LabError
from lab.interleave import parse_schedule
from lab.reference import page as reference
from lab.runbook import shipped
from lab.runbook.model import Kind
from tests.faults.wire import our_server
from tests.lab.documents import PAGES, ROOT, Block, alike, blocks, words

Captured: TypeAlias = pytest.CaptureFixture[str]

BLOCKS = list(blocks())
PYTHON = [block for block in BLOCKS if block.language == "python"]
CONSOLE = [block for block in BLOCKS if block.language in {"console", "sh"}]
READERS: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "text": parse_schedule,
    "edn": len,  # the commands of its page read it
}

ELSEWHERE = {
    "README.md": "tests/conformance/test_docs.py",
    "docs/pytest.md": "tests/lab/test_pytest_plugin.py",
    "docs/scenarios.md": "tests/scenarios/test_scenarios.py",
}
"""Page -> the test file that executes its Python."""

FOREIGN = {
    "cd": "a builtin of the shell",
    "curl": "the requests are those of tests/faults and tests/lab/test_links.py",
    "docker": "wants Docker: tests/lab/test_compose.py runs the file",
    "export": "a builtin of the shell; what it holds is checked as a command of its own",
    "flake8": "tests/lab/audit/test_output.py runs it",
    "pip": "needs the network",
    "pytest": "tests/lab/test_pytest_plugin.py runs the example's suite with both policies",
}
"""Program that is not run -> why."""

QUICK = {
    "lab audit src/": 1,
    "lab check history.edn": 1,
    "lab explore shop:order": 1,
    "lab rehearse --check": 0,
    "lab rehearse --list": 0,
}
"""How the command lines begin that are really run, and their exit code; all others are parsed."""

PLACEHOLDER = re.compile(r".*([A-Z]{2}|\.\.\.).*")


def quick(line: str) -> int | None:
    """Return the exit code that a command line must have if it is to be run, None if it is not."""
    return next((code for start, code in QUICK.items() if f"{line} ".startswith(f"{start} ")), None)


def labs(text: str) -> Iterator[list[str]]:
    """Yield the words of the ``lab ...`` commands between backticks."""
    for written in re.findall(r"`lab ([^`\n]+)`", text):
        arguments = words(re.sub(r"\[[^]]*\]\S*", "", written.partition(" | ")[0]))
        if arguments and arguments[0] not in get_args(Kind):
            yield arguments


def parse(arguments: list[str]) -> None:
    """Fail unless the real command line takes these arguments, and knows the names among them."""
    name, *rest = arguments
    command = command_called(name)
    if not rest:
        return
    context = command.make_context(name, list(rest))
    names = [one for one in context.params.get("scenarios", ()) if not PLACEHOLDER.fullmatch(one)]
    if name == "run":
        workload = context.params["workload"]
        choose_both(names, None if workload is None or PLACEHOLDER.fullmatch(workload) else workload)
    if name == "rehearse":
        runbooks = [str(one) for one in context.params["runbooks"]]
        assert {one for one in runbooks if not PLACEHOLDER.fullmatch(one)} <= set(shipped())


def check_command(command: list[str]) -> None:
    """Fail unless a command of a console block can exist."""
    program, *arguments = command
    program = Path(program).name
    if program == "lab":
        parse(arguments)
    elif program in {"python", "python3"}:
        assert arguments[0] == "-m", command
        assert importlib.util.find_spec(arguments[1]) is not None, command
    elif program == "make":
        assert re.search(rf"^{arguments[0]}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE), command
        for one in arguments[1:]:
            parse(["run", *shlex.split(one.removeprefix("ARGS="))])
    else:
        assert program in FOREIGN, f"{program} is neither known nor in FOREIGN"
        for inner in re.findall(r"\$\(([^)]*)\)", " ".join(arguments)):
            check_command(words(inner))


def test_every_block_has_a_language_that_something_reads() -> None:
    known = {"python", "console", "sh", *READERS}
    assert [f"{block}: {block.language!r}" for block in BLOCKS if block.language not in known] == []
    assert len(BLOCKS) > 20


@pytest.mark.parametrize("block", [one for one in BLOCKS if one.language in READERS], ids=str)
def test_data_is_read_by_what_reads_it(block: Block) -> None:
    assert READERS[block.language](block.body)


@pytest.mark.parametrize("block", CONSOLE, ids=str)
def test_a_command_line_is_one_that_exists(block: Block) -> None:
    assert block.commands
    for command in block.commands:
        check_command(command)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_command_in_the_text_is_one_that_exists(page: Path) -> None:
    for arguments in labs(page.read_text(encoding="utf-8")):
        with contextlib.suppress(click.MissingParameter):  # a sentence may leave out what a command needs
            parse(arguments)


@pytest.mark.parametrize("wrong", ["lab run no-such", "lab run --no-such", "lab chek x", "make no-such", "no-such x"])
def test_a_command_that_does_not_exist_is_noticed(wrong: str) -> None:
    with pytest.raises((click.UsageError, AssertionError, KeyError, LabError)):
        check_command(words(wrong))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the files of which the pages speak."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "app.py").write_text("import time\nasync def f():\n    time.sleep(1)\n", encoding="utf-8")
    for block in BLOCKS:
        if block.file:
            (tmp_path / block.file).write_text(block.body, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHOWN = [(block, line, output) for block in CONSOLE for line, output in block.shown if quick(line) is not None]


@pytest.mark.parametrize(("block", "line", "output"), SHOWN, ids=[f"{one[0]} {one[1][:40]}" for one in SHOWN])
def test_a_quick_command_does_what_the_page_shows(
    block: Block, line: str, output: list[str], folder: Path, capsys: Captured
) -> None:
    code = exit_code(words(line.partition(" > ")[0])[1:])
    told = capsys.readouterr()
    assert code == quick(line), told.out + told.err
    real = iter(told.out.splitlines())
    for shown in output:
        assert any(alike(shown, one) for one in real), f"{block}: {shown!r} is not in\n{told.out}"


def test_every_command_line_that_is_run_is_there() -> None:
    assert [start for start in QUICK if not any(f"{line} ".startswith(f"{start} ") for _, line, _ in SHOWN)] == []


async def execute(block: Block, monkeypatch: pytest.MonkeyPatch, source: str = "") -> dict[str, Any]:
    """Execute a block as ``python -m asyncio`` would, and return its names."""
    module = ModuleType("example_of_a_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)
    names = vars(module)
    code = compile(source or block.body, str(block), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    done = eval(code, names)  # noqa: S307 - the documentation's own
    if inspect.iscoroutine(done):
        await asyncio.wait_for(done, 30)
    return names


def python_of(page: str) -> list[Block]:
    return [block for block in PYTHON if block.page == page]


PLAIN = (
    "CONTRIBUTING.md",
    "docs/checking.md",
    "docs/clusters.md",
    "docs/explore.md",
    "docs/validate.md",
    "examples/orders/README.md",
)
SERVED = ("docs/rules.md", "docs/isolation.md")
"""Pages whose Python talks to a server."""


def test_every_block_of_python_is_executed_here_or_elsewhere() -> None:
    pages = {block.page for block in PYTHON}
    assert pages == {*PLAIN, *SERVED, *ELSEWHERE}
    for page, where in ELSEWHERE.items():
        assert Path(page).name in (ROOT / where).read_text(encoding="utf-8")


@pytest.mark.parametrize("block", [one for one in PYTHON if one.page in PLAIN], ids=str)
async def test_python_of_a_page_runs(
    block: Block, folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = await execute(block, monkeypatch, PREAMBLE.get(block.page, "") + block.body)
    match block.page:
        case "docs/checking.md":
            assert capsys.readouterr().out.startswith("fail ")
        case "docs/clusters.md":
            whole = plan.Plan(names["plan"], seed=1)
            assert plan.Plan.from_json(whole.to_json()) == whole
        case "CONTRIBUTING.md":
            assert names["Noop"].kind == "noop"


PREAMBLE = {
    "CONTRIBUTING.md": "from dataclasses import dataclass\nfrom typing import ClassVar\n"
    "from faults.stage import Stage\n",
}
"""What an excerpt takes for granted: the imports of every file of its kind."""


async def test_the_rules_of_the_page_are_taken_by_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = python_of("docs/rules.md")
    address = "http://127.0.0.1:8474"
    assert address in block.body
    with our_server(tmp_path / "log") as server:
        await execute(block, monkeypatch, block.body.replace(address, server.url))
        async with ControlClient(server.url) as control:
            assert [one.name for one in await control.rules()] == ["lost_ack", "third"]


async def test_the_schedule_of_the_page_runs(
    postgres: PostgresServer, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = python_of("docs/isolation.md")
    stated = '(Address("127.0.0.1", 5432),), "user", "password", "database"'
    assert stated in block.body
    login = f"{postgres.user!r}, {postgres.password!r}, {postgres.database!r}"
    real = f"(Address({postgres.host!r}, {postgres.port}),), {login}"
    await execute(block, monkeypatch, block.body.replace(stated, real))
    assert capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("name", "option"),
    [(name, option) for name in COMMANDS for one in command_called(name).params for option in one.opts],
)
def test_every_command_and_option_is_in_the_reference(name: str, option: str) -> None:
    section = reference().partition(f"`lab {name}")[2].partition("\n### ")[0]
    assert section
    assert option in section or not option.startswith("-")


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "README.md"]
    while todo:
        page = todo.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8"))
        places = [(page.parent / link).resolve() for link in links]
        todo += [one for place in places for one in (place.glob("*.md") if place.is_dir() else [place])]
    assert [page for page in (*PAGES, *(ROOT / "runbooks").glob("*.md")) if page not in seen] == []
