"""The command line: thin; every command is a function of the library first, and is loaded when it is asked for.

Exit codes: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 the environment is not able to run it, 128+n ended by signal n.
"""

from __future__ import annotations

import pkgutil
import signal
import sys

import click

from faults.errors import FaultError
from lab._collector import no_collector
from lab._streams import Unheard, prepare_streams
from lab.console import UNABLE, USAGE, Interrupted, complain, out
from lab.errors import LabError, UsageError, unknown_name

COMMANDS = {
    "atlas": "lab.commands.atlas:atlas",
    "audit": "lab.commands.audit:audit",
    "check": "lab.commands.check:check",
    "doctor": "lab.commands.doctor:doctor",
    "down": "lab.commands.standing:down",
    "explore": "lab.commands.explore:explore",
    "list": "lab.commands.listing:list_command",
    "proxy": "lab.commands.proxy:proxy",
    "rehearse": "lab.commands.rehearse:rehearse",
    "replay": "lab.commands.replay:replay",
    "report": "lab.commands.report:report",
    "run": "lab.commands.run:run",
    "status": "lab.commands.standing:status",
    "up": "lab.commands.standing:up",
    "validate": "lab.commands.validate:validate",
}
"""Every command and where it is. Together they take more than a second to load."""


def command_called(name: str) -> click.Command:
    """Load the command *name*, one of `COMMANDS`."""
    with no_collector():
        command = pkgutil.resolve_name(COMMANDS[name])
    assert isinstance(command, click.Command)  # noqa: S101 - for the type checker
    return command


class Group(click.Group):
    """Loads only the command that was asked for, and answers an unknown one with the nearest names."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:  # noqa: ARG002 - click's signature
        """Load the command; raise UsageError if there is none of that name."""
        if cmd_name not in COMMANDS:
            raise unknown_name("command", cmd_name, COMMANDS)
        return command_called(cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say the first sentence about each command as it is; click would cut it at the end of the line."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, command_called(name).get_short_help_str(200)) for name in self.list_commands(ctx)]
            )


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="resilience-lab", prog_name="lab")
def cli() -> None:
    """A resilience test lab for Python applications on distributed SQL."""


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
