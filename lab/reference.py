"""The reference page, made from the code: ``python -m lab.reference > docs/reference.md``."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping

import click

from faults import kinds, toxics
from faults.plan import Plan
from lab import checks
from lab.checking import MODELS
from lab.cli import COMMANDS, command_called
from lab.scenarios import SCENARIOS
from lab.studies.shipped import STUDIES
from lab.workloads import WORKLOADS


def page() -> str:
    """Return docs/reference.md."""
    parts = [
        "# Reference",
        "Every command, scenario, study, workload, fault and check, as the code has them (`python -m lab.reference`).",
        *_commands(),
        "## Scenarios",
        _table(("scenario", "what happens"), ((name, s.title) for name, s in SCENARIOS.items())),
        "## Studies",
        _table(("study", "what it shows"), ((name, study.title) for name, study in STUDIES.items())),
        "## Workloads",
        _table(("workload", "what it does"), ((name, workload.about) for name, workload in WORKLOADS.items())),
        "## Models of `lab check`",
        _table(("model", "histories"), ((name, model.says) for name, model in MODELS.items())),
        "## Faults of a plan",
        _table(("fault", "what it does"), _classes(vars(kinds), "faults.kinds")),
        "## Toxics",
        _table(("toxic", "what it does"), _classes(vars(toxics), "faults.toxics")),
        "## When a step of a plan begins",
        _table(("plan", "when"), ((name, _first(member)) for name, member in _triggers())),
        "## Checks",
        _table(("check", "what must hold"), ((name, _first(getattr(checks, name))) for name in checks.__all__)),
    ]
    return "\n\n".join(parts) + "\n"


def _commands() -> Iterator[str]:
    yield "## Commands"
    for name in COMMANDS:
        command = command_called(name)
        yield f"### lab {name}"
        arguments = [p.make_metavar(click.Context(command)) for p in command.params if isinstance(p, click.Argument)]
        yield f"`{' '.join(['lab', name, *arguments])}`: {_sentence(command.help or '')}"
        options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
        if options:
            yield _table(("option", "meaning"), ((", ".join(o.opts), o.help or "") for o in options))


def _triggers() -> Iterator[tuple[str, object]]:
    module = sys.modules[Plan.__module__]
    for name in ("at", "after", "before_commit", "pulses"):
        yield name, getattr(module, name)


def _classes(names: Mapping[str, object], package: str) -> Iterator[tuple[str, str]]:
    for name, member in sorted(names.items()):
        ours = inspect.isclass(member) and member.__module__.startswith(package) and not name.startswith("_")
        if ours and member.__doc__ and not getattr(member, "_is_protocol", False):
            yield name, _first(member)


def _first(thing: object) -> str:
    return _sentence(inspect.getdoc(thing) or "")


def _sentence(text: str) -> str:
    """Return the first paragraph in one line."""
    return " ".join(text.strip().partition("\n\n")[0].split())


def _table(heads: tuple[str, str], rows: Iterable[tuple[str, str]]) -> str:
    lines = [f"| {heads[0]} | {heads[1]} |", "|---|---|"]
    lines += [f"| `{name}` | {' '.join(text.split()).replace('|', chr(92) + '|')} |" for name, text in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(page())
