"""The command line: thin; every command is a function of the library first.

Exit codes: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 the environment is not able to run it, 128+n ended by signal n.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.table import Table

from faults.__main__ import run_server
from faults.errors import FaultError
from lab import doctor as doctor_module
from lab import standing
from lab._streams import Unheard, prepare_streams
from lab.clusters import CLUSTERS, ClusterChoice
from lab.commands.atlas import atlas
from lab.commands.audit import audit
from lab.commands.check import check
from lab.commands.explore import explore
from lab.commands.rehearse import rehearse
from lab.commands.replay import replay
from lab.commands.report import report
from lab.commands.run import run
from lab.commands.validate import validate
from lab.console import (
    LARGEST_SEED,
    UNABLE,
    USAGE,
    FilePath,
    Interrupted,
    cluster_option,
    complain,
    finish,
    json_option,
    out,
    print_json,
)
from lab.errors import LabError, UsageError, unknown_name
from lab.scenarios import SCENARIOS
from lab.state import survey
from lab.studies import STUDIES
from lab.workloads import WORKLOADS


class Group(click.Group):
    """Answers an unknown command with the nearest ones."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command."""
        if args and args[0] not in self.commands:
            raise unknown_name("command", args[0], self.commands)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say the first sentence about each command as it is; click would cut it at the end of the line."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(200)) for name in self.list_commands(ctx)]
            )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="resilience-lab", prog_name="lab")
def cli() -> None:
    """A resilience test lab for Python applications on distributed SQL."""


@cli.command()
@cluster_option
@click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), default=0, show_default=True, help="decides the proxies' draws"
)
@json_option
def up(cluster: ClusterChoice, seed: int, as_json: bool) -> int:
    """Start a cluster that stays, and print how to reach it."""
    name, description = finish(standing.bring_up(cluster, seed=seed))
    if as_json:
        print_json({"id": name, **description})
        return 0
    out.print(f"{name}: {description['about']}")
    _print_addresses(description)
    out.print("lab down removes it", style="dim")
    return 0


def _print_addresses(info: Any) -> None:
    for node, address in dict(info.get("nodes", {})).items():
        out.print(f"  {node:<8} {address}", soft_wrap=True)
    for what in ("direct", "control"):
        if what in info:
            out.print(f"  {what:<8} {info[what]}", soft_wrap=True)
    for what, url in dict(info.get("places", {})).items():
        out.print(f"  {what:<10} {url}", soft_wrap=True)


@cli.command()
@click.argument("ids", nargs=-1)
@json_option
def down(ids: tuple[str, ...], as_json: bool) -> int:
    """Remove standing clusters (all, or those of these IDS) and whatever killed runs have left behind."""
    removed = standing.take_down(ids)
    if as_json:
        print_json({"removed": [info.id for info in removed]})
    for info in () if as_json else removed:
        out.print(f"removed {info.id} ({info.state}, {len(info.processes)} processes)")
    if not removed and not as_json:
        out.print("nothing to remove")
    return 0


@cli.command()
@json_option
def status(as_json: bool) -> int:
    """Show standing clusters, runs in progress and what killed ones have left."""
    runs = survey()
    if as_json:
        print_json([{"id": r.id, "state": r.state, "processes": list(r.processes), **r.info} for r in runs])
        return 0
    for info in runs:
        out.print(f"{info.id}: {info.state}, {len(info.processes)} processes")
        _print_addresses(info.info)
    if not runs:
        out.print("nothing is running")
    return 0


@cli.command(name="list")
@json_option
def list_command(as_json: bool) -> int:
    """List scenarios, workloads, studies and clusters."""
    if as_json:
        print_json(
            {
                "scenarios": [
                    {"name": s.name, "title": s.title, "needs": sorted(s.needs), "checks": [c.says for c in s.checks]}
                    for s in SCENARIOS.values()
                ],
                "workloads": [
                    {"name": name, "about": w.about, "checks": [c.says for c in w.checks]}
                    for name, w in WORKLOADS.items()
                ],
                "studies": [
                    {"name": s.name, "title": s.title, "needs": sorted(s.needs), "checks": list(s.says)}
                    for s in STUDIES.values()
                ],
                "clusters": sorted(CLUSTERS),
            }
        )
        return 0
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("scenario", "what happens", "needs"):
        table.add_column(heading, no_wrap=heading == "scenario")
    for scenario in SCENARIOS.values():
        table.add_row(scenario.name, scenario.title, ", ".join(sorted(scenario.needs)) or "-")
    out.print(table)
    out.print("\n[bold]workloads[/bold], for lab run --workload NAME")
    for name, workload in WORKLOADS.items():
        out.print(f"  {name:<15} {workload.about}", soft_wrap=True)
    out.print("\n[bold]studies[/bold], by name only")
    for study in STUDIES.values():
        out.print(f"{study.name}  {study.title}")
    out.print(f"\n[bold]clusters[/bold]: {', '.join(sorted(CLUSTERS))}")
    return 0


@cli.command()
@json_option
def doctor(as_json: bool) -> int:
    """Tell whether this machine can run the lab, and what to do if not."""
    found = finish(doctor_module.diagnose())
    if as_json:
        print_json(msgspec.to_builtins(found))
    else:
        for item in found:
            mark, style = ("✔", "green") if item.good else ("✘", "red") if item.needed else ("-", "dim")
            out.print(f"[{style}]{mark}[/{style}] {item.name:<17} ", end="")
            out.print(item.seen, markup=False, soft_wrap=True)
    return 0 if doctor_module.able(found) else UNABLE


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="where the control API listens")
@click.option("--port", type=click.IntRange(0, 65535), default=8474, show_default=True, help="0 takes a free one")
@click.option("--config", type=FilePath(path_type=Path), help="JSON array of proxies, as for POST /populate")
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="decides every draw; without it each run differs")
def proxy(host: str, port: int, config: Path | None, seed: int | None) -> int:
    """Start the fault proxy alone: a drop-in for toxiproxy-server."""
    return run_server(host, port, seed, config)


for command in (atlas, audit, check, explore, rehearse, replay, report, run, validate):
    cli.add_command(command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit; an error is one line on stderr."""
    prepare_streams()
    sys.exit(exit_code(arguments))


def exit_code(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    try:
        return int(cli.main(arguments, prog_name="lab", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        out.print(error.format_message(), markup=False)
        return USAGE
    except click.ClickException as error:
        return complain(_click_message(error), USAGE)
    except UsageError as error:
        return complain(str(error), USAGE)
    except LabError as error:
        return complain(str(error), error.exit_code)
    except FaultError as error:
        return complain(str(error), USAGE if error.status < 500 else UNABLE)
    except Interrupted as error:
        return complain(str(error), error.exit_code)
    except Unheard as error:
        return 128 + signal.SIGPIPE if error.gone else complain(str(error), UNABLE)
    except click.Abort:
        return complain("interrupted", 128 + signal.SIGINT)


def _click_message(error: click.ClickException) -> str:
    message = error.format_message().replace("\n", " ")
    if isinstance(error, click.NoSuchOption) and error.ctx is not None and not error.possibilities:
        known = [name for option in error.ctx.command.params for name in option.opts if name.startswith("--")]
        return str(unknown_name("option", error.option_name, known))
    return message


if __name__ == "__main__":
    main()
