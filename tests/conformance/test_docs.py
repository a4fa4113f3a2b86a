"""The command line, its help and the README say the same."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from faults import plan
from lab import checks, reference
from lab.checking import MODELS
from lab.checks.cycles import FORBIDDEN, MEANING, Level
from lab.cli import COMMANDS, cli, command_called
from lab.clusters import CLUSTERS
from lab.clusters.base import Capability
from lab.retry import RetryPolicy
from lab.scenario import Scenario
from lab.scenarios import SCENARIOS
from lab.workloads import WORKLOADS
from lab.workloads.bank import Bank

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
OPTIONS = [(name, option) for name in COMMANDS for option in command_called(name).params]
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "runbooks").glob("*.md")),
]


def help_of(*arguments: str) -> str:
    context = click.Context(cli, info_name="lab", terminal_width=80)
    command: click.Command = command_called(arguments[0]) if arguments else cli
    return command.get_help(context)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_has_help_and_its_place_in_the_readme(name: str) -> None:
    assert command_called(name).help
    table = README.partition("## Commands")[2].partition("\n## ")[0]
    assert re.search(rf"`lab {name}\b", table), f"README.md, Commands: lab {name} is missing"


@pytest.mark.parametrize(
    "option",
    [option for _, option in OPTIONS if isinstance(option, click.Option)],
    ids=[f"{name} {option.opts[0]}" for name, option in OPTIONS if isinstance(option, click.Option)],
)
def test_an_option_has_help(option: click.Option) -> None:
    assert option.help


def test_the_list_of_commands_says_whole_sentences_in_80_columns() -> None:
    commands = help_of().partition("Commands:")[2]
    assert "..." not in commands
    assert max(map(len, help_of().splitlines())) <= 80


@pytest.mark.parametrize("capability", Capability)
def test_a_capability_has_its_row_among_the_clusters(capability: Capability) -> None:
    page = (ROOT / "docs" / "clusters.md").read_text(encoding="utf-8")
    heads = [
        cell.strip() for line in page.splitlines() if line.startswith("| ") for cell in line.split("|")[1].split(",")
    ]
    assert capability.value in heads


@pytest.mark.parametrize("name", CLUSTERS)
def test_a_cluster_has_its_row_in_the_readme(name: str) -> None:
    assert f"| `{name}` |" in README.partition("## Clusters")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_workload_is_named_in_the_readme_and_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in (ROOT / "docs" / "workloads.md").read_text(encoding="utf-8")
    assert re.search(rf"[ ]{name}[,.: ]", README.partition("lab run --workload NAME")[2].partition("\n- ")[0])


@pytest.mark.parametrize("command", re.findall(r"`lab (\w+)", README))
def test_the_readme_names_commands_that_exist(command: str) -> None:
    assert command in COMMANDS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    missing = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()]
    assert missing == []


def test_the_scenario_in_the_readme_is_the_shipped_one() -> None:
    shown = re.search(r"```python\n(Scenario\(.*?)```", README, re.DOTALL)
    assert shown is not None
    names = {name: vars(module)[name] for module in (plan, checks) for name in vars(module) if name[0] != "_"}
    scenario = eval(shown[1], {**names, "Scenario": Scenario, "Bank": Bank, "RetryPolicy": RetryPolicy})  # noqa: S307
    shipped = SCENARIOS[scenario.name]
    assert (scenario.title, scenario.plan, scenario.workload) == (shipped.title, shipped.plan, shipped.workload)
    assert {check.says for check in scenario.expect} <= {check.says for check in shipped.expect}


CHECKING = (ROOT / "docs" / "checking.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", MODELS)
def test_a_model_has_its_row_among_the_checks(model: str) -> None:
    assert f"| `{model}` |" in CHECKING


@pytest.mark.parametrize("anomaly", MEANING)
def test_an_anomaly_has_its_row_with_the_first_level_that_forbids_it(anomaly: str) -> None:
    weakest: tuple[Level, ...] = ("read-committed", "snapshot-isolation", "repeatable-read", "serializable")
    first = next(level for level in weakest if anomaly in FORBIDDEN[level])
    assert f"| {anomaly} | {MEANING[anomaly]} | {first} |" in CHECKING


def test_the_reference_is_what_the_code_says() -> None:
    """If it differs: python -m lab.reference > docs/reference.md, and read it."""
    assert (ROOT / "docs" / "reference.md").read_text(encoding="utf-8") == reference.page()


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name != "README.md"))
def test_a_page_has_its_place_in_the_contents(page: str) -> None:
    assert f"]({page})" in (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
