"""What every command needs: its streams, common options, and an end that cleans up."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import click

from lab._streams import Answers, progress_console, unheard
from lab.clusters.choice import ClusterChoice
from lab.verdict import Verdict

T = TypeVar("T")

EXIT = {Verdict.PASS: 0, Verdict.FAIL: 1, Verdict.INCONCLUSIVE: 3}
USAGE, UNABLE = 2, 4
LARGEST_SEED = 2**32 - 1

out = Answers(highlight=False, emoji=False)
err = progress_console()


class FilePath(click.Path):
    """A path that is not empty: an empty one comes from a shell variable that is not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not str(value):
            self.fail("it is empty", param, ctx)
        return super().convert(value, param, ctx)


def cluster_option(command: Callable[..., int]) -> Callable[..., int]:
    """Give a command the options that choose a cluster; it gets them as one `ClusterChoice` called *cluster*."""

    @click.option("--cluster", default="embedded", show_default=True, help="which cluster to use; see lab list")
    @click.option("--binary", type=FilePath(path_type=Path), help="cockroach binary of the cluster local")
    @click.option(
        "--dsn", "dsns", multiple=True, help="address of the cluster external, once for each node; or $LAB_DSN, several"
    )
    @click.option("--toxiproxy", help="lead through this Toxiproxy, too: its URL, or toxiproxy-server to start one")
    @functools.wraps(command)
    def with_choice(
        *, cluster: str, binary: Path | None, dsns: tuple[str, ...], toxiproxy: str | None, **others: Any
    ) -> int:
        if cluster == "external" and not dsns:  # where others do not see it, as they do a command line
            dsns = tuple(os.environ.get("LAB_DSN", "").split())
        return command(cluster=ClusterChoice(cluster, binary, dsns, toxiproxy), **others)

    return with_choice


seed_option = click.option(
    "--seed", type=click.IntRange(0, LARGEST_SEED), help="decides every draw; one is drawn and told if absent"
)
json_option = click.option("--json", "as_json", is_flag=True, help="print JSON on stdout, and nothing else")


def finish(main: Coroutine[Any, Any, T]) -> T:
    """Run *main* to its end; a signal cancels it, so that everything is healed and cleaned up before we go."""

    async def guarded() -> T:
        task = asyncio.current_task()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, stop, number)
        received.clear()
        tasks.append(task)
        return await main

    received: list[signal.Signals] = []
    tasks: list[asyncio.Task[Any] | None] = []

    def stop(number: signal.Signals) -> None:
        received.append(number)
        if tasks[0] is not None:
            tasks[0].cancel()
        if len(received) == 1:
            err.print(f"{number.name}: healing and cleaning up", style="yellow")

    try:
        return _run_on_fast_loop(guarded())
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise Interrupted(received[0] if received else signal.SIGINT) from None


def _run_on_fast_loop(main: Coroutine[Any, Any, T]) -> T:
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


class Interrupted(Exception):
    """A signal ended the command; everything was healed and cleaned up."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(f"ended by {number.name}; everything was healed, stopped and removed")
        self.exit_code = 128 + number


def print_json(value: object) -> None:
    """Print JSON on standard output, in ASCII: it reads the same in every locale."""
    try:
        sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
        sys.stdout.flush()
    except OSError as error:
        raise unheard(error) from error


def complain(problem: str, code: int) -> int:
    """Print one line on stderr and return *code*."""
    line = " ".join(problem.split())
    err.print(f"lab: {line}", markup=False, soft_wrap=True)
    return code
