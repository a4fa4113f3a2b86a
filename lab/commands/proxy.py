"""``lab proxy``: the fault proxy alone."""

from __future__ import annotations

from pathlib import Path

import click

from faults.__main__ import run_server
from lab.console import LARGEST_SEED, FilePath


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="where the control API listens")
@click.option("--port", type=click.IntRange(0, 65535), default=8474, show_default=True, help="0 takes a free one")
@click.option("--config", type=FilePath(path_type=Path), help="JSON array of proxies, as for POST /populate")
@click.option("--seed", type=click.IntRange(0, LARGEST_SEED), help="decides every draw; without it each run differs")
def proxy(host: str, port: int, config: Path | None, seed: int | None) -> int:
    """Start the fault proxy alone: a drop-in for toxiproxy-server."""
    return run_server(host, port, seed, config)
